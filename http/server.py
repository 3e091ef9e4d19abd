"""uvicorn inside our loop: its protocol, our listening, limits and drain.

`start` listens and serves, `stop` drains: it accepts nothing more, closes idle connections at once, lets what is in
flight finish, and cuts it at the deadline. uvicorn's own `Server` is not used: it takes the signals, and looks only ten
times a second whether it should stop.

What protects against slow clients: a request has `head_timeout_s` to bring its headers and `body_timeout_s` its body;
an answer that is not taken for `stall_timeout_s` is dropped; an idle connection lasts `keep_alive_s`. One sweep a
second sees to it, so that no request pays for a timer. Headers are bounded here in bytes, bodies in `body.py`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from quorate.errors import ConfigError, HeadersTooLarge, Invalid, NotReady, QuorateError, TooSlow
from quorate.http.answers import headers_of, problem
from quorate.http.api import Api
from quorate.http.app import create_app
from quorate.http.door import Door

SWEEP_S = 1.0
BACKLOG = 1024
CUT_S = 1.0  # what was cut at the drain's deadline has this long to unwind

log = logging.getLogger(__name__)


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which bounds neither headers nor time, with both bounded."""

    def __init__(self, api: Api, on_lost: Callable[[], None], **given: Any) -> None:
        super().__init__(**given)
        self._api = api
        self._on_lost = on_lost
        self._headless = False  # a request began to arrive, the end of its headers did not
        self._began_s = self.loop.time()  # when the request at hand began to arrive
        self._arriving = True  # something of it is still to come
        self._head_bytes = 0
        self._stalled_s: float | None = None
        self._unsent = 0

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._on_lost()

    # ---- what arrives -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if len(self.connections) > self._api.limits.connections:
            self._api.counts.refused_connections += 1
            self.refuse(NotReady("this node holds as many connections as it can; ask another one"))

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # none is offered: the request is answered, and what follows it is not read
        except httptools.HttpParserError:
            self._api.counts.bad_requests += 1
            self.refuse(Invalid("this is not a well-formed HTTP request"))
        else:
            if self._headless:
                self._bound_head(len(data))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._began_s = self.loop.time()
        self._arriving = self._headless = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._headless = False
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headless:  # what follows a chunked body (trailers) is of no interest and would grow without bound
            super().on_header(name, value)

    def on_message_complete(self) -> None:
        self._arriving = False
        super().on_message_complete()

    def _bound_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._api.limits.head_bytes:
            self.refuse(HeadersTooLarge(f"the headers are over {self._api.limits.head_bytes:,} bytes"))

    # ---- what takes too long ----------------------------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        limits = self._api.limits
        if self._arriving:
            timeout_s = limits.head_timeout_s if self._headless else limits.body_timeout_s
            if now_s - self._began_s > timeout_s:
                self.refuse(TooSlow("the request did not arrive in time; nothing was done"))
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._stalled_s = None
        elif self._stalled_s is None:
            self._stalled_s = now_s
        elif now_s - self._stalled_s > limits.stall_timeout_s:
            self.transport.abort()
        self._unsent = unsent

    # ---- hanging up -------------------------------------------------------------------------------------------------

    def refuse(self, error: QuorateError) -> None:
        """Answer what never became a request and hang up.

        Nothing is said while an earlier request on this connection waits for its answer, or has a part of it: the
        refusal would be taken for that answer.
        """
        if not self.transport.is_closing() and not self._owes_an_answer:
            answer = problem(error, "")
            headers = [*headers_of(answer, self._api.replica), (b"connection", b"close")]
            lines = [b"%s: %s\r\n" % header for header in headers]
            self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", answer.body]))
        self.transport.close()

    @property
    def _owes_an_answer(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        its_body_is_arriving = self._arriving and not self._headless and not self.pipeline
        return cycle.response_started or not its_body_is_arriving


class HttpServer:
    """Listens, serves, drains. One a node, on the node's loop."""

    def __init__(self, api: Api, *, hot: bool = True) -> None:
        self._api = api
        self._door = Door(api, create_app(api), hot=hot)
        self._config = uvicorn.Config(
            self._door,
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=api.limits.keep_alive_s,
        )
        self._config.load()
        self._state = ServerState()
        self._listening: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    @property
    def connections(self) -> int:
        return len(self._state.connections)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound (port 0 takes a free one). Raises `ConfigError`."""
        sock = _bind(host, port)
        self._sweep()
        self._listening = await asyncio.get_running_loop().create_server(self._connect, sock=sock, backlog=BACKLOG)
        bound: int = sock.getsockname()[1]
        log.info("serving HTTP on %s:%d", host, bound)
        return bound

    def _connect(self) -> asyncio.Protocol:
        return Connection(self._api, self._one_less, config=self._config, server_state=self._state, app_state={})

    def _one_less(self) -> None:
        if not self._state.connections:
            self._empty.set()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        for connection in self._open():
            connection.sweep(now_s)
        self._api.counts.connections = len(self._state.connections)
        self._sweeping = loop.call_later(SWEEP_S, self._sweep)

    def _open(self) -> Iterable[Connection]:
        return [c for c in self._state.connections if isinstance(c, Connection)]

    async def stop(self, drain_s: float = 5.0) -> None:
        """Accept nothing more, finish what is in flight within `drain_s`, then cut. Idempotent."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
            self._api.events.close()
            for connection in self._open():
                connection.shutdown()
            await self._drain(drain_s)
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._door.stop()
        self._api.parsing.stop()

    async def _drain(self, drain_s: float) -> None:
        self._empty.clear()
        self._one_less()
        try:
            async with asyncio.timeout(drain_s):
                await self._empty.wait()
                await self._wind_down()
        except TimeoutError:
            await self._cut(drain_s)

    async def _wind_down(self) -> None:
        """What still runs has answered, or lost its client."""
        while self._state.tasks:
            await asyncio.wait(list(self._state.tasks))

    async def _cut(self, drain_s: float) -> None:
        unfinished = len(self._state.tasks)
        log.warning("cutting %d requests that did not finish within %g s", unfinished, drain_s)
        for connection in self._open():
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=CUT_S)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot serve HTTP on {host}:{port}: {error.strerror or error}. Is another node running there? "
            "Stop it, or give another address as http.listen"
        ) from None
