"""The first bytes of a connection that another end has made: one that begins TLS waits for its turn (`pace.py`).

A handshake is done on the loop, and costs it some tenths of a millisecond before the other end has shown anything. A
flood of them must not keep this node from hearing its peers.
"""

from __future__ import annotations

import asyncio
from typing import cast

from quorate.cluster.raft.transport.connection import PeerConnection
from quorate.cluster.raft.transport.handshake.tls_layer import HANDSHAKE_RECORD
from quorate.pace import Pace

HANDSHAKES_PER_S, HANDSHAKES_AT_ONCE = 100, 50


class PacedTls(asyncio.Protocol):
    """Stands before its connection until that has its turn, and passes on all that is no handshake."""

    def __init__(self, connection: PeerConnection, pace: Pace) -> None:
        self._connection, self._pace = connection, pace
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses of it
        self._connection.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._connection.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if data[0] != HANDSHAKE_RECORD:
            self._hand_over(data)
            return
        self._transport.pause_reading()
        self._waiting = asyncio.get_running_loop().create_task(self._wait(data))

    async def _wait(self, data: bytes) -> None:
        await self._pace.turn(self._connection.host)
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._hand_over(data)

    def _hand_over(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.set_protocol(self._connection)
        self._connection.data_received(data)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
