"""Listens for clients that speak Redis' protocol, and stops: the RESP door of a node, on the node's loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from quorate.doors.in_pieces import InPieces
from quorate.doors.sweeping import sweep_all
from quorate.doors.tls_listener import TlsListener
from quorate.listening import Purpose, listen_on, shown
from quorate.resp.connection import RespConnection
from quorate.resp.door import Door
from quorate.resp.encoding import failure
from quorate.security.tls import LiveTls

SWEEP_S = 1.0
BACKLOG = 1024
PURPOSE = Purpose("serve RESP", "resp.listen", BACKLOG)

log = logging.getLogger(__name__)


class RespServer:
    """With `tls` it speaks TLS alone."""

    def __init__(self, door: Door, tls: LiveTls | None = None) -> None:
        self._door, self._tls = door, tls
        self.listening: list[str] = []  # the addresses that were bound, host:port
        self._servers: list[asyncio.Server | TlsListener] = []
        self._sweeping: asyncio.TimerHandle | None = None
        self._connections: set[RespConnection] = set()
        self._empty = asyncio.Event()

    async def start(self, addresses: Sequence[tuple[str, int]]) -> int:
        """Listen on all addresses. Returns the port of the first (port 0 takes a free one). Raises `ConfigError`."""
        sockets = await listen_on(addresses, PURPOSE)
        self.listening = [shown(sock) for sock in sockets]
        self._sweep()
        loop = asyncio.get_running_loop()
        for sock in sockets:
            if self._tls is None:
                self._servers.append(await loop.create_server(self._connect, sock=sock, backlog=BACKLOG))
            else:
                limits = self._door.limits
                given = (sock, self._connect, self._tls, limits, self._bad, _to_plain, b"*".__eq__)
                self._servers.append(TlsListener(*given))
        log.info("serving RESP%s on %s", "" if self._tls is None else " over TLS", ", ".join(self.listening))
        return int(sockets[0].getsockname()[1])

    def _connect(self) -> asyncio.Protocol:
        return InPieces(RespConnection(self._door, self._connections, self._lost), self._door.unsent.line)

    def _bad(self) -> None:
        self._door.counts.protocol_errors += 1

    def _lost(self) -> None:
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        sweep_all([*self._connections], SWEEP_S)
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    async def stop(self, drain_s: float = 5.0) -> None:
        """Accept nothing more, answer what is under way within `drain_s`, then cut it. Idempotent."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in [*self._connections]:
            connection.shutdown()
        self._empty.clear()
        self._lost()
        try:
            async with asyncio.timeout(drain_s):
                await self._empty.wait()
        except TimeoutError:
            log.warning("cutting %d RESP connections that did not finish within %g s", len(self._connections), drain_s)
            for connection in [*self._connections]:
                connection.cut()


def _to_plain() -> bytes:
    """The answer to plain RESP on a port for TLS."""
    return failure("ERR", "this port speaks TLS alone: connect by TLS (redis-cli --tls, rediss://)")
