"""The double of nsqlookupd: which nsqds have a topic. They register over TCP. One that disconnects is forgotten."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.doubles.nsq import web, wire
from tests.doubles.nsq.web import HttpRefusal, Request
from tests.doubles.nsq.wire import ProtocolError

INACTIVE_AFTER_S = 300.0
TOMBSTONE_S = 45.0


class Peer(msgspec.Struct):
    """What an nsqd tells about itself."""

    broadcast_address: str = ""
    hostname: str = ""
    tcp_port: int = 0
    http_port: int = 0
    version: str = ""
    remote_address: str = ""


@dataclass(eq=False, slots=True)
class RegisteredNsqd:
    peer: Peer
    heard_s: float = field(default_factory=time.monotonic)
    tombstones: dict[str, float] = field(default_factory=dict)

    def is_active(self, topic: str = "") -> bool:
        now_s = time.monotonic()
        buried_s = self.tombstones.get(topic)
        return now_s - self.heard_s <= INACTIVE_AFTER_S and (buried_s is None or now_s - buried_s >= TOMBSTONE_S)


class Lookupd:
    def __init__(self, tcp_address: str, http_address: str) -> None:
        self._addresses = tcp_address, http_address
        self.tcp_port = self.http_port = 0
        self._producers: list[RegisteredNsqd] = []
        # A name stays when the last nsqd that has it is gone, as in nsqlookupd.
        self._topics: dict[str, set[RegisteredNsqd]] = {}
        self._channels: dict[tuple[str, str], set[RegisteredNsqd]] = {}
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        host, port = self._addresses[0].rsplit(":", 1)
        tcp = await asyncio.start_server(self._talk, host, int(port))
        http = await web.serve(self._addresses[1], self._routes())
        self._servers = [tcp, http]
        self.tcp_port, self.http_port = tcp.sockets[0].getsockname()[1], http.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    # ---- registration -----------------------------------------------------------------------------------------------

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(self, reader, writer)
        try:
            await client.talk()
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass  # an nsqd leaves by closing its connection
        finally:
            self._forget(client.producer)
            writer.close()

    def _forget(self, producer: RegisteredNsqd | None) -> None:
        if producer is not None:
            self._producers.remove(producer)
            for holders in (*self._topics.values(), *self._channels.values()):
                holders.discard(producer)

    def join(self, producer: RegisteredNsqd) -> dict[str, Any]:
        self._producers.append(producer)
        return {
            "tcp_port": self.tcp_port,
            "http_port": self.http_port,
            "version": wire.VERSION,
            "broadcast_address": "127.0.0.1",
            "hostname": socket.gethostname(),
        }

    def register(self, producer: RegisteredNsqd, topic: str, channel: str) -> None:
        if channel:
            self._channels.setdefault((topic, channel), set()).add(producer)
        self._topics.setdefault(topic, set()).add(producer)

    def unregister(self, producer: RegisteredNsqd, topic: str, channel: str) -> None:
        for key, holders in list(self._channels.items()):
            if key[0] == topic and channel in ("", key[1]):
                holders.discard(producer)
                if not holders and wire.is_ephemeral(key[1]):
                    del self._channels[key]
        if not channel and topic in self._topics:
            self._topics[topic].discard(producer)
            if not self._topics[topic] and wire.is_ephemeral(topic):
                del self._topics[topic]

    # ---- HTTP -------------------------------------------------------------------------------------------------------

    def _routes(self) -> web.Routes:
        return {
            ("GET", "/ping"): lambda request: "OK",
            ("GET", "/info"): lambda request: {"version": wire.VERSION},
            ("GET", "/lookup"): self._lookup,
            ("GET", "/topics"): lambda request: {"topics": list(self._topics)},
            ("GET", "/channels"): lambda request: {"channels": self._channels_of(_arg(request, "topic"))},
            ("GET", "/nodes"): self._nodes,
            ("POST", "/topic/create"): self._create_topic,
            ("POST", "/topic/delete"): self._delete_topic,
            ("POST", "/topic/tombstone"): self._tombstone,
            ("POST", "/channel/create"): self._create_channel,
            ("POST", "/channel/delete"): self._delete_channel,
        }

    def _channels_of(self, topic: str) -> list[str]:
        return [channel for of, channel in self._channels if of == topic]

    def _lookup(self, request: Request) -> dict[str, Any]:
        topic = _arg(request, "topic")
        if topic not in self._topics:
            raise HttpRefusal(404, "TOPIC_NOT_FOUND")
        producers = [p.peer for p in self._topics[topic] if p.is_active(topic)]
        return {"channels": self._channels_of(topic), "producers": producers}

    def _nodes(self, request: Request) -> dict[str, Any]:
        return {"producers": [self._node(p) for p in self._producers if p.is_active()]}

    def _node(self, producer: RegisteredNsqd) -> dict[str, Any]:
        topics = [topic for topic, holders in self._topics.items() if producer in holders]
        tombstones = [not producer.is_active(topic) for topic in topics]
        return {**msgspec.structs.asdict(producer.peer), "topics": topics, "tombstones": tombstones}

    def _create_topic(self, request: Request) -> None:
        topic = _arg(request, "topic")
        if not wire.is_name(topic):
            raise HttpRefusal(400, "INVALID_ARG_TOPIC")
        self._topics.setdefault(topic, set())

    def _delete_topic(self, request: Request) -> None:
        topic = _arg(request, "topic")
        self._topics.pop(topic, None)
        for key in [key for key in self._channels if key[0] == topic]:
            del self._channels[key]

    def _tombstone(self, request: Request) -> None:
        topic, node = _arg(request, "topic"), _arg(request, "node")
        for producer in self._topics.get(topic, ()):
            if f"{producer.peer.broadcast_address}:{producer.peer.http_port}" == node:
                producer.tombstones[topic] = time.monotonic()

    def _create_channel(self, request: Request) -> None:
        topic, channel = _topic_and_channel(request)
        self._topics.setdefault(topic, set())
        self._channels.setdefault((topic, channel), set())

    def _delete_channel(self, request: Request) -> None:
        key = _topic_and_channel(request)
        if key not in self._channels:
            raise HttpRefusal(404, "CHANNEL_NOT_FOUND")
        del self._channels[key]


class _Client:
    """The connection over which one nsqd registers."""

    def __init__(self, lookupd: Lookupd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lookupd, self._reader, self._writer = lookupd, reader, writer
        self.producer: RegisteredNsqd | None = None

    async def talk(self) -> None:
        if await self._reader.readexactly(4) != wire.MAGIC_LOOKUP:
            self._send(b"E_BAD_PROTOCOL")
            return
        while line := await self._reader.readline():
            try:
                self._send(await self._do(line.decode("latin-1").strip().split(" ")))
            except ProtocolError as error:
                self._send(str(error).encode())
                return

    def _send(self, payload: bytes) -> None:
        self._writer.write(struct.pack(">i", len(payload)) + payload)

    async def _do(self, words: list[str]) -> bytes:
        command, *params = words
        if command == "PING":
            if self.producer:
                self.producer.heard_s = time.monotonic()
            return b"OK"
        if command == "IDENTIFY":
            return await self._identify()
        if command not in ("REGISTER", "UNREGISTER"):
            raise ProtocolError("E_INVALID", f"invalid command {command}")
        if self.producer is None:
            raise ProtocolError("E_INVALID", "client must IDENTIFY")
        topic, channel = _checked_names(command, params)
        do = self._lookupd.register if command == "REGISTER" else self._lookupd.unregister
        do(self.producer, topic, channel)
        return b"OK"

    async def _identify(self) -> bytes:
        if self.producer is not None:
            raise ProtocolError("E_INVALID", "cannot IDENTIFY again")
        (size,) = struct.unpack(">i", await self._reader.readexactly(4))
        body = await self._reader.readexactly(size)
        try:
            peer = msgspec.json.decode(body, type=Peer)
        except msgspec.DecodeError:
            raise ProtocolError("E_BAD_BODY", "IDENTIFY failed to decode JSON body") from None
        if not (peer.broadcast_address and peer.tcp_port and peer.http_port and peer.version):
            raise ProtocolError("E_BAD_BODY", "IDENTIFY missing fields")
        host, port = self._writer.get_extra_info("peername")[:2]
        peer.remote_address = f"{host}:{port}"
        self.producer = RegisteredNsqd(peer)
        return msgspec.json.encode(self._lookupd.join(self.producer))


def _checked_names(command: str, params: list[str]) -> tuple[str, str]:
    if not params:
        raise ProtocolError("E_INVALID", f"{command} insufficient number of params")
    topic, channel = params[0], params[1] if len(params) > 1 else ""
    if not wire.is_name(topic):
        raise ProtocolError("E_BAD_TOPIC", f"{command} topic name '{topic}' is not valid")
    if channel and not wire.is_name(channel):
        raise ProtocolError("E_BAD_CHANNEL", f"{command} channel name '{channel}' is not valid")
    return topic, channel


def _arg(request: Request, name: str) -> str:
    value = request.get(name)
    if value is None:
        raise HttpRefusal(400, f"MISSING_ARG_{name.upper()}")
    return value


def _topic_and_channel(request: Request) -> tuple[str, str]:
    topic, channel = _arg(request, "topic"), _arg(request, "channel")
    for what, name in (("TOPIC", topic), ("CHANNEL", channel)):
        if not wire.is_name(name):
            raise HttpRefusal(400, f"INVALID_ARG_{what}")
    return topic, channel
