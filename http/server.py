"""Serves HTTP on the node's loop, with uvicorn's protocol and our own listening, limits and stopping.

`start` listens and serves. `stop` accepts nothing more, closes idle connections at once, lets requests in flight
finish, and cuts those that are not finished at the deadline. uvicorn's own `Server` is not used: it takes over the
signals, and checks only ten times a second whether it should stop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from email.utils import formatdate

import uvicorn
from uvicorn.server import ServerState

from quorate.doors.connection_places import ConnectionPlaces
from quorate.doors.in_pieces import InPieces
from quorate.doors.sweeping import sweep_all
from quorate.doors.tls_listener import TlsListener
from quorate.doors.unsent import UnsentBytes
from quorate.doors.waiting_bytes import WaitingBytes
from quorate.doors.waiting_line import WaitingLine
from quorate.errors import Invalid
from quorate.http import routes
from quorate.http.answer import closing_bytes
from quorate.http.api import Api
from quorate.http.arrivals import Shared
from quorate.http.asgi import AsgiApp
from quorate.http.connection import HttpConnection
from quorate.http.flask_loader import FlaskLoader
from quorate.http.routing import Router
from quorate.http.small_votes import SmallVotes
from quorate.listening import Purpose, listen_on, shown
from quorate.security.tls import LiveTls

SWEEP_S = 1.0
BACKLOG = 1024
PURPOSE = Purpose("serve HTTP", "http.listen", BACKLOG)
CUT_S = 1.0  # how long requests that were cut at the deadline may take to unwind

log = logging.getLogger(__name__)


class HttpServer:
    """Listens, serves and drains, on the node's loop. Each node has one."""

    def __init__(self, api: Api, *, hot: bool = True, small: bool = True, tls: LiveTls | None = None) -> None:
        """With `tls` it speaks TLS alone."""
        self._api, self._tls = api, tls
        self._flask = FlaskLoader(api, routes.ROUTES)
        router = Router(routes.ROUTES)
        self._app = AsgiApp(api, self._flask, router, hot=hot)
        votes = routes.VOTES
        self._small_votes = SmallVotes(api, lambda request: votes.answer(api, request, ()), votes.role)
        self._config = uvicorn.Config(
            self._app,
            http=HttpConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._config.load()
        self._state = ServerState()
        self.places = ConnectionPlaces(api.limits)  # of other doors of the node, too

        def version() -> int:
            return api.replica.state.version

        self.unsent = UnsentBytes(api.limits.unsent_bytes, lambda: self.places.connections, version)
        self.waiting = WaitingBytes(api.limits.waiting_bytes)
        self._shared = Shared(
            self.places,
            self.waiting,
            self.unsent,
            WaitingLine(version=version),
            self._small_votes if hot and small else None,
        )
        self.listening: list[str] = []  # the addresses that were bound, host:port
        self._servers: list[asyncio.Server | TlsListener] = []  # one a socket
        self._sweeping: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    @property
    def connections(self) -> int:
        return len(self._state.connections)

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
                self._servers.append(
                    TlsListener(sock, self._connect, self._tls, self._api.limits, self._bad_handshake, self._to_plain)
                )
        self._flask.load_soon()
        log.info("serving %s on %s", "HTTP" if self._tls is None else "HTTPS", ", ".join(self.listening))
        return int(sockets[0].getsockname()[1])

    def _bad_handshake(self) -> None:
        self._api.counts.bad_requests += 1

    def _to_plain(self) -> bytes:
        """The answer to plain HTTP on a port for TLS."""
        return closing_bytes(Invalid("this is an HTTPS port: ask it by https:// instead of http://"), self._api.replica)

    def _connect(self) -> asyncio.Protocol:
        connection = HttpConnection(
            self._api, self._shared, self._connection_lost, config=self._config, server_state=self._state, app_state={}
        )
        return InPieces(connection, self.unsent.line)

    def _connection_lost(self) -> None:
        if not self._state.connections:
            self._empty.set()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        sweep_all(self._open(), SWEEP_S)
        self._api.counts.connections = len(self._state.connections)
        self._api.origins.refresh()
        self.unsent.sweep(loop.time())
        self._api.counts.broken_off = self.unsent.broken_off
        self._api.counts.closed_idle = self.places.closed_idle
        self._sweeping = loop.call_later(SWEEP_S, self._sweep)

    def _open(self) -> list[HttpConnection]:
        return [c for c in self._state.connections if isinstance(c, HttpConnection)]

    async def stop(self, drain_s: float = 5.0) -> None:
        """Accept nothing more, let requests in flight finish within `drain_s`, then cut the others. Idempotent."""
        if self._servers:
            for server in self._servers:
                server.close()
            self._servers.clear()
            self._api.events.close()
            for connection in self._open():
                connection.shutdown()
            await self._drain(drain_s)
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._flask.stop()
        self._api.parse_pool.stop()

    async def _drain(self, drain_s: float) -> None:
        self._empty.clear()
        self._connection_lost()
        try:
            async with asyncio.timeout(drain_s):
                await self._empty.wait()
                await self._wind_down()
        except TimeoutError:
            await self._cut(drain_s)

    async def _wind_down(self) -> None:
        """Wait for the tasks that still run. They have answered already, or their client has left."""
        await self._small_votes.drained()
        while self._state.tasks:
            await asyncio.wait(list(self._state.tasks))

    async def _cut(self, drain_s: float) -> None:
        unfinished = len(self._state.tasks) + len(self._small_votes.waiting)
        log.warning("cutting %d requests that did not finish within %g s", unfinished, drain_s)
        for connection in self._open():
            connection.transport.abort()
        self._app.cut()
        self._small_votes.cut()
        for task in list(self._state.tasks):
            task.cancel()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=CUT_S)
