"""One HTTP connection: uvicorn's protocol, with bounds on the size of the headers and on time, which uvicorn lacks.

The headers of a request must arrive within `head_timeout_s`, and all of it within `body_timeout_s`. If the client reads
nothing of its answer for `stall_timeout_s`, the connection is closed. An idle connection lasts `keep_alive_s`. The
server checks this once a second in `sweep`, so requests need no timers of their own. The size of headers is bounded
here, the size of bodies in `body.py`. Which connections are kept when there are too many: `connection_places.py`.

uvicorn does the rest: parsing, pipelining, flow control, keep-alive. A complete answer is sent in one write (`answer`),
which costs a third less than the two messages of ASGI.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from quorate.cluster.replica import Replica
from quorate.errors import HeadersTooLarge, Invalid, QuorateError, TooSlow
from quorate.http.address_shares import share_key
from quorate.http.api import Api
from quorate.http.connection_places import ConnectionPlaces
from quorate.http.origins import hosts_in_line
from quorate.http.reply import Headers, headers_of, problem
from quorate.http.upgrade import without_offer

ANSWER = "quorate.answer"  # the scope's key for `answer`, which sends a complete answer in one write


class HttpConnection(HttpToolsProtocol):
    """uvicorn's HTTP protocol with bounds on headers and time. `on_lost` is called when the connection is closed."""

    def __init__(self, api: Api, places: ConnectionPlaces, on_lost: Callable[[], None], **given: Any) -> None:
        super().__init__(**given)
        self._api = api
        self._places = places
        self.share_key = ""  # whose share of the places this connection counts to
        self._on_lost = on_lost
        self._in_head = False  # the headers of the current request are not complete
        self.parser = _new_parser(self)
        self._offers_upgrade = False  # the headers of the current request are parsed once more, without the offer
        self._began_s = self.loop.time()  # when the current request began to arrive
        self._arriving = True  # the current request is not complete
        self._head_bytes = 0
        self._stalled_since_s: float | None = None
        self._unsent = 0

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._places.leave(self)
        self._on_lost()

    # ---- what arrives -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.share_key = share_key(self.client[0] if self.client else "")
        if (why := self._places.admit(self, len(self.connections), self._began_s)) is not None:
            self._api.counts.refused_connections += 1
            self.refuse(why)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse_unreadable()
        else:
            if self._in_head:
                self._bound_head(len(data))

    def _feed(self, data: bytes) -> None:
        """Parse the data. A request that offers an upgrade is parsed again without the offer: see `upgrade.py`."""
        while data and not self.transport.is_closing():
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            method, version = self.parser.get_method(), self.parser.get_http_version()
            head = without_offer(method, self.url, version, self.headers)
            if head is None:
                self._refuse_unreadable()
                return
            self.parser = _new_parser(self)
            self.parser.feed_data(head)

    def _refuse_unreadable(self) -> None:
        self._api.counts.bad_requests += 1
        self.refuse(Invalid("this is not a well-formed HTTP request"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._began_s = self.loop.time()
        self._arriving = self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._offers_upgrade = self.parser.should_upgrade()
        if not self._offers_upgrade:
            if self.url[:1] != b"/":
                self.headers.extend(hosts_in_line(self.url, self.headers))
            super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers after a chunked body come here too. Nobody needs them, and nothing would bound them.
        if self._in_head:
            super().on_header(name, value)

    def on_message_complete(self) -> None:
        if not self._offers_upgrade:
            self._arriving = False
            super().on_message_complete()

    def _bound_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._api.limits.head_bytes:
            self.refuse(HeadersTooLarge(f"the headers are over {self._api.limits.head_bytes:,} bytes"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("dict[str, Any]", cycle.scope)
        scope[ANSWER] = partial(answer, cycle)
        super()._start_asgi_task(cycle, app)

    # ---- waiting for a request --------------------------------------------------------------------------------------

    @property
    def idle_since_s(self) -> float | None:
        """Since when it waits for a request. None while it has one, or something of an answer to send."""
        cycle: RequestResponseCycle | None = self.cycle
        if (cycle is not None and not cycle.response_complete) or self.transport.is_closing():
            return None
        if self.transport.get_write_buffer_size():
            return None
        timer = self.timeout_keep_alive_task  # set while no byte of a next request has come
        return self._began_s if timer is None else timer.when() - self.timeout_keep_alive

    def close_idle(self) -> None:
        self.transport.close()

    # ---- what takes too long ----------------------------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        """Close the connection if something takes too long. The server calls this once a second."""
        limits = self._api.limits
        if self._arriving:
            timeout_s = limits.head_timeout_s if self._in_head else limits.body_timeout_s
            if now_s - self._began_s > timeout_s:
                self.refuse(TooSlow("the request did not arrive in time; nothing was done"))
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._stalled_since_s = None
        elif self._stalled_since_s is None:
            self._stalled_since_s = now_s
        elif now_s - self._stalled_since_s > limits.stall_timeout_s:
            self.transport.abort()
        self._unsent = unsent

    # ---- hanging up -------------------------------------------------------------------------------------------------

    def refuse(self, error: QuorateError) -> None:
        """Close the connection. Send the error first, if the client can tell which request it answers."""
        if not self.transport.is_closing() and self._answers_current_request:
            self.transport.write(closing_bytes(error, self._api.replica))
        self.transport.close()

    @property
    def _answers_current_request(self) -> bool:
        """Whether the client would take a refusal for the answer to the request that arrives now.

        False while an earlier request has no complete answer: the client would take "400, surely not counted" for the
        answer to that one. False also if the rest of a request arrives that was answered already.
        """
        cycle: RequestResponseCycle | None = self.cycle
        in_body = self._arriving and not self._in_head
        if cycle is None:
            return True
        if cycle.response_complete:
            return not in_body
        return in_body and not cycle.response_started and not self.pipeline


def _new_parser(connection: HttpConnection) -> Any:
    """A parser as uvicorn makes it: it reads on behind a request that closes the connection, since that is answered."""
    parser = httptools.HttpRequestParser(connection)
    with contextlib.suppress(AttributeError):  # httptools before 0.6.3
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def break_off(scope: dict[str, Any]) -> None:
    """Break the connection of a request at once, whatever waits to be sent."""
    cycle: RequestResponseCycle = scope[ANSWER].args[0]
    cycle.transport.abort()


def answer(cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
    """Send a complete answer in one write. False: it was not sent and must go through ASGI's messages.

    This does what `RequestResponseCycle.send` of uvicorn 0.34 to 0.54 does for a start and a body. It leaves out the
    checks of header names and values: our headers are made in this room and contain no line breaks.
    """
    if cycle.waiting_for_100_continue and cycle.more_body:
        cycle.keep_alive = False  # the client may leave its body out now, so what it sends next could be either
    if cycle.disconnected or cycle.flow.write_paused or cycle.response_started or cycle.scope["method"] == "HEAD":
        return False
    headers = cycle.default_headers + headers
    if not cycle.keep_alive:
        headers.append((b"connection", b"close"))
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(_bytes_of(status, headers, body))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def closing_bytes(error: QuorateError, replica: Replica) -> bytes:
    """The answer after which a connection is closed, where no request was read that it could belong to."""
    refusal = problem(error, "")
    return _bytes_of(error.status, [*headers_of(refusal, replica), (b"connection", b"close")], refusal.body)


def _bytes_of(status: int, headers: Headers, body: bytes) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join((STATUS_LINE[status], *lines, b"\r\n", body))
