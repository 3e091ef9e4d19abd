"""One connection: uvicorn's HTTP protocol, which bounds neither headers nor time, with both bounded.

A request has `head_timeout_s` to bring its headers and `body_timeout_s` to bring all of it; an answer that is not taken
for `stall_timeout_s` is dropped; an idle connection lasts `keep_alive_s`. The server's sweep sees to it, once a second,
so that no request pays for a timer. Bodies are bounded in bytes by `body.py`, headers here.

What uvicorn does well is left to it: parsing, pipelining, flow control, keep-alive. An answer that is whole goes out in
one write (`answer`), which costs a third less than ASGI's two messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from quorate.errors import HeadersTooLarge, Invalid, NotReady, QuorateError, TooSlow
from quorate.http.api import Api
from quorate.http.reply import Headers, headers_of, problem

ANSWER = "quorate.answer"  # in the scope: a whole answer in one write


class HttpConnection(HttpToolsProtocol):
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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("dict[str, Any]", cycle.scope)
        scope[ANSWER] = partial(answer, cycle)
        super()._start_asgi_task(cycle, app)

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
        """Answer what never became a request, if that can be understood, and hang up."""
        if not self.transport.is_closing() and self._would_be_understood:
            refusal = problem(error, "")
            headers = [*headers_of(refusal, self._api.replica), (b"connection", b"close")]
            self.transport.write(_bytes_of(error.status, headers, refusal.body))
        self.transport.close()

    @property
    def _would_be_understood(self) -> bool:
        """Whether a refusal would be taken for the answer to what arrives now, and to nothing else.

        Not while an earlier request waits for its answer or has a part of it: "400, surely not counted" would be taken
        for that. And not when what arrives is the rest of a request that was answered already.
        """
        cycle: RequestResponseCycle | None = self.cycle
        in_body = self._arriving and not self._headless
        if cycle is None:
            return True
        if cycle.response_complete:
            return not in_body
        return in_body and not cycle.response_started and not self.pipeline


def answer(cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
    """Send a whole answer in one write; False if it must go the ASGI way.

    Does what `RequestResponseCycle.send` does for a start and a body (uvicorn 0.34 to 0.54), less its checks of header
    names and values: ours are made here and hold no line breaks.
    """
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


def _bytes_of(status: int, headers: Headers, body: bytes) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join((STATUS_LINE[status], *lines, b"\r\n", body))
