"""Nodes that are only a transport, and raw peers that connect by hand: to send wrong messages in the right form."""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

import msgspec

from quorate.cluster.raft import messages
from quorate.cluster.raft.membership.bootstrap import Bootstrap
from quorate.cluster.raft.storage.directory import FORMAT, NodeIdentity
from quorate.cluster.raft.transport.handshake.cipher import NONCE_BYTES, Plain, Sealed, agree
from quorate.cluster.raft.transport.handshake.credentials import shared_key
from quorate.cluster.raft.transport.handshake.hello import PROTOCOL, Hello
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.streams import CALLS, INTRODUCTIONS, REFUSALS
from quorate.cluster.raft.transport.transport import PeerTransport
from tests.support.waiting import until

KEY = b"the key of this cluster"
WAIT_S = 30.0
HEARD_ID = 2**40  # of the call that `until_heard` makes

encode = msgspec.msgpack.Encoder().encode
_length = struct.Struct(">I")

Run = Callable[[Coroutine[Any, Any, None]], None]


class Node:
    """A transport and its listener, which keeps everything it is told. `Bootstrap` decides about peers."""

    def __init__(self, node_id: str, *, key: bytes | None = KEY, cluster_name: str = "test") -> None:
        self.bootstrap = Bootstrap(NodeIdentity(FORMAT, node_id, f"incarnation of {node_id}"), cluster_name, set())
        self.transport = PeerTransport(node_id, self, shared_key(key))
        self.port = 0
        self.heard: list[tuple[str, messages.Message]] = []
        self.up: list[str] = []  # every connection ever
        self.down: list[str] = []
        self.refusals: list[tuple[str, str]] = []
        self.progressed = 0
        self.level = 0
        self.padding = ""  # makes the introduction longer

    async def __aenter__(self) -> Node:
        self.port = await self.transport.start([("127.0.0.1", 0)])
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.transport.stop()

    def dial(self, *others: Node) -> None:
        """Make these the members to be connected with: of two nodes the one with the greater id dials."""
        self.transport.set_members({other.transport.node_id: [f"127.0.0.1:{other.port}"] for other in others})

    def introduction(self) -> Introduction:
        me = self.bootstrap.identity
        name = self.bootstrap.cluster_name
        return Introduction(me.node_id, me.incarnation, name, None, None, [], self.padding, level=self.level)

    def opened(self, peer: str, introduction: Introduction, replaces: Introduction | None = None) -> str | None:
        return self.bootstrap.introduced(peer, introduction)

    def refuses_certificate(self, fingerprint: str) -> str | None:
        return None

    def connected(self, peer: str) -> None:
        self.up.append(peer)

    def disconnected(self, peer: str) -> None:
        self.down.append(peer)

    def refused(self, peer: str, why: str) -> None:
        self.refusals.append((peer, why))

    def received(self, peer: str, message: messages.Message) -> None:
        self.heard.append((peer, message))

    def progress(self, peer: str) -> None:
        self.progressed += 1


async def pair(a: Node, b: Node) -> None:
    """Connect the two."""
    a.dial(b)
    b.dial(a)
    await until(
        "both have a connection",
        lambda: a.transport.is_open(b.transport.node_id) and b.transport.is_open(a.transport.node_id),
    )


class RawPeer:
    """One connection to a node, made by hand. It may have the key, and it may break the protocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.cipher: Plain | Sealed | None = None
        self.hello: bytes | None = None  # as it was sent
        self.node_id = ""

    @classmethod
    async def connect(cls, node: Node | int) -> RawPeer:
        port = node if isinstance(node, int) else node.port
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def __aenter__(self) -> RawPeer:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.writer.transport.abort()

    async def greet(
        self,
        node_id: str = "n2",
        *,
        key: bytes | None = KEY,
        keyed: bool | None = None,
        protocol: int = PROTOCOL,
        nonce_bytes: int = NONCE_BYTES,
    ) -> bytes:
        """Exchange hellos. Returns the node's."""
        self.node_id = node_id
        keyed = key is not None if keyed is None else keyed
        self.hello = mine = encode(Hello(protocol, node_id, keyed, os.urandom(nonce_bytes)))
        self.write(mine)
        theirs = await self.frame()
        self.cipher = agree(key, dialled=True, ours=mine, theirs=theirs)
        return theirs

    async def come_in(
        self, node_id: str = "n2", *, key: bytes | None = KEY, cluster_name: str = "test", level: int = 0
    ) -> None:
        await self.greet(node_id, key=key)
        self.introduce(cluster_name=cluster_name, level=level)

    def introduce(
        self,
        node_id: str | None = None,
        *,
        cluster_name: str = "test",
        http: str = "",
        level: int = 0,
        member_at: int = 0,
    ) -> None:
        name = self.node_id if node_id is None else node_id
        said = Introduction(name, f"of {name}", cluster_name, None, None, [], http, level=level, member_at=member_at)
        self.say(INTRODUCTIONS, encode(said))

    def write(self, frame: bytes) -> None:
        self.writer.write(_length.pack(len(frame)) + frame)

    def sealed(self, stream: int, message: bytes, *, more: int = 0) -> bytes:
        assert self.cipher is not None
        return self.cipher.seal(bytes((stream | more,)) + message)

    def say(self, stream: int, message: bytes, *, more: int = 0) -> None:
        self.write(self.sealed(stream, message, more=more))

    def say_all(self, parts: list[tuple[int, bytes]], *, more: int = 0) -> None:
        for stream, message in parts:
            self.say(stream, message, more=more)

    async def frame(self) -> bytes:
        size = _length.unpack(await self.reader.readexactly(4))[0]
        return await self.reader.readexactly(size)

    async def hear(self) -> tuple[int, bytes]:
        """The next part that the node sends, opened: (stream and more flag, bytes)."""
        assert self.cipher is not None
        opened = self.cipher.open(await self.frame())
        return opened[0], opened[1:]

    async def heard(self) -> list[tuple[int, bytes]]:
        """All that the node sends until it refuses this peer, opened."""
        heard: list[tuple[int, bytes]] = []
        while not heard or heard[-1][0] != REFUSALS:
            heard.append(await self.hear())
        return heard

    async def until_heard(self) -> None:
        """Wait until the node has taken all that was said: calls are answered in order, also those that it refuses."""
        self.say(CALLS, encode([1, HEARD_ID, "is that all?", b""]))
        while True:
            stream, message = await self.hear()
            if stream == CALLS and msgspec.msgpack.decode(message)[1:2] == [HEARD_ID]:
                return

    async def is_hung_up_on(self, *, within_s: float = WAIT_S) -> bool:
        """Whether the node ends the connection within that time."""
        try:
            async with asyncio.timeout(within_s):
                while await self.reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


class Tap:
    """A proxy between two nodes that passes everything on, and records what the dialling node sent."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.said = b""

    async def __aenter__(self) -> Tap:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._node.port)
        self._writers += (writer, back)
        for source, target, dialled in ((reader, back, True), (there, writer, False)):
            task = asyncio.get_running_loop().create_task(self._copy(source, target, dialled=dialled))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, dialled: bool) -> None:
        try:
            while data := await source.read(65536):
                if dialled:
                    self.said += data
                target.write(data)
                await target.drain()
        except ConnectionError as error:
            logging.getLogger(__name__).debug("cut: %r", error)
        target.close()
