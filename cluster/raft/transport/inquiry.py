"""Asks which node answers at an address, and changes nothing there: no connection of that node is replaced.

The other end proves that it has the key, and introduces itself, as on every connection. This end says that it only
asks, and hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket

from quorate.cluster.raft.transport.connection import PeerConnection, Target
from quorate.cluster.raft.transport.flushes import Flushes
from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.host_port import read_host_port

ANSWER_S = 3.0


async def resolve(address: str) -> list[tuple[str, int]]:
    """The addresses that `host:port` means now: a name is resolved anew each time. Raises OSError and `ValueError`."""
    host, port = read_host_port(address)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys((str(info[4][0]), port) for info in found))
    return [(host, port)]


async def ask_who_is_at(address: str, peer: str, node_id: str, credentials: Credentials) -> Introduction:
    """The introduction of `peer`, if it answers at this address. Raises OSError in words, or `ValueError`.

    `node_id` is the node that asks.
    """
    why: OSError = OSError("the name means no address")
    try:
        async with asyncio.timeout(ANSWER_S):
            for host, port in await resolve(address):
                try:
                    introduction = await _ask(host, port, node_id, credentials)
                except OSError as error:
                    why = OSError(error.strerror or str(error))
                    continue
                if introduction.node_id == peer:
                    return introduction
                why = OSError(f"{introduction.node_id} answers there")
    except TimeoutError:
        why = OSError("no answer in time")
    raise why


async def _ask(host: str, port: int, node_id: str, credentials: Credentials) -> Introduction:
    """Try each way to prove itself. Raises OSError: of the last one."""
    for turn in range(credentials.ways - 1):
        with contextlib.suppress(OSError):
            return await _ask_once(host, port, node_id, credentials, turn)
    return await _ask_once(host, port, node_id, credentials, credentials.ways - 1)


async def _ask_once(host: str, port: int, node_id: str, credentials: Credentials, turn: int) -> Introduction:
    asker = _Asker(node_id, credentials)
    connection = PeerConnection(asker, Target("", f"{host}:{port}"), only_asks=True, turn=turn)
    try:
        await asyncio.get_running_loop().create_connection(lambda: connection, host, port)
        return await asker.answer
    finally:
        connection.close("it has answered")


class _Asker:
    """The owner of a connection that only asks, see `ConnectionOwner`."""

    def __init__(self, node_id: str, credentials: Credentials) -> None:
        self.node_id, self.credentials, self.flushes = node_id, credentials, Flushes()
        self.answer: asyncio.Future[Introduction] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may wait for it

    def introduction(self) -> Introduction:
        raise AssertionError("a node that only asks does not introduce itself")

    def opened(self, connection: PeerConnection) -> str | None:
        if not self.answer.done() and connection.introduction is not None:
            self.answer.set_result(connection.introduction)
        return None

    def received(self, connection: PeerConnection, stream: int, message: bytes) -> None:
        pass

    def progress(self, connection: PeerConnection) -> None:
        pass

    def refused(self, connection: PeerConnection, why: str) -> None:
        self._fail(why)

    def closed(self, connection: PeerConnection, why: str) -> None:
        self._fail(why)

    def gone(self, connection: PeerConnection) -> None:
        pass

    def _fail(self, why: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(why))
