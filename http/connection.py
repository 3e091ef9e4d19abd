"""One HTTP connection: uvicorn's protocol, with bounds on heads and on time, which uvicorn lacks.

The headers of a request must arrive within `head_timeout_s`, and all of it within `body_timeout_s`. If the client reads
nothing of its answer for `stall_timeout_s`, the connection is closed. An idle connection lasts `keep_alive_s`. The
server checks this once a second in `sweep`, so requests need no timers of their own. The size and number of headers
are bounded in `arrivals.py`, the size of bodies in `body.py`. Which connections are kept when there are too many:
`connection_places.py`. How many requests may wait behind each other, and what their heads may take: `intake.py`. No
request is begun while the client does not read its answers.

uvicorn does the rest: parsing, pipelining, flow control, keep-alive. A complete answer is sent in one write
(`answer.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from quorate.doors.address_shares import share_key
from quorate.doors.reading_pace import ReadingPace
from quorate.errors import Overloaded, TooSlow
from quorate.http.answer import ANSWER, answer
from quorate.http.api import Api
from quorate.http.arrivals import HEAD, Arrivals, Shared
from quorate.http.flow import Flow
from quorate.http.intake import FIRST_BYTES, SMALL_HEAD_BYTES

CONNECTION = "quorate.connection"  # the scope's key for the connection
IN_VAIN_S = 500e-6  # what a request is charged after one that was refused: four times what it takes
UNREAD_BYTES = 16 * 1024  # of answers; a client that leaves more unread has no further request begun
READING = "quorate.reading"  # the scope's key for the task of a request that changes nothing: it ends with its client


class HttpConnection(Arrivals):
    """uvicorn's HTTP protocol with bounds on headers and time. `on_lost` is called when the connection is closed."""

    def __init__(self, api: Api, shared: Shared, on_lost: Callable[[], None], **given: Any) -> None:
        super().__init__(api, shared, **given)
        self.flow: FlowControl = None  # type: ignore[assignment]  # uvicorn's too, until there is a transport
        self._is_next = False  # the request that is begun now waited behind the one that was just answered
        self.is_in_vain = False  # the last answer was a refusal
        self.is_lost = False
        self._deferred: tuple[RequestResponseCycle, Any] | None = None  # a request that waits for the client to read
        self.share_key = ""  # whose share of the places this connection counts to
        self._on_lost = on_lost
        self._idle_since_s: float | None = None  # when the last request was answered
        self._reading = ReadingPace()
        self._big_bytes = 0  # of the big answer that was written last

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.is_lost = True
        self._intake.close()
        self._leave_small()
        self._end_reading()
        self._shared.places.leave(self)
        self._on_lost()

    def _end_reading(self) -> None:
        """Nobody waits for the answer any more, so nothing is kept for it. A change goes on: it may be on its way."""
        for arrived in (self.cycle, *(cycle for cycle, _ in self.pipeline)):
            if isinstance(arrived, RequestResponseCycle):
                arrived.body = bytearray()  # only the collector of garbage frees these, and it comes seldom
        cycle = self.answering
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # uvicorn tells the one that came last, and others may wait behind this one
            cycle.message_event.set()
            task = cast("dict[str, Any]", cycle.scope).get(READING)
            if task is not None:
                task.cancel()

    # ---- what arrives -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self.flow = Flow(transport, self._intake, self._read_on)
        self.share_key = share_key(self.client[0] if self.client else "")
        if (why := self._shared.places.admit(self, self._began_s)) is not None:
            self._api.counts.refused_connections += 1
            self.refuse(why)

    def data_received(self, data: bytes) -> None:
        self._may_begin_small = True
        self._take(data)
        if self._arriving and not self._in_head and not self._is_busy and not self.is_lost:
            self.flow.pause_reading()  # the rest of a body that is answered already: nobody needs it quickly
            self._shared.passed_over.join(self._pass_over)

    def _pass_over(self) -> None:
        if not self.is_lost:
            self.flow.resume_reading()

    def _take(self, data: bytes) -> None:
        try:
            if len(data) <= FIRST_BYTES and (not self._is_busy or self._small is not None):
                self._parse(data) if self._arriving else self._parse_alone(data)
            else:
                self._intake.take(data, self._body_left, busy=self._is_busy)
        except httptools.HttpParserError:
            self._refuse_unreadable()
        if self.pipeline or self._intake.charged or self._intake.heads or self._head_bytes > SMALL_HEAD_BYTES:
            if self._intake.held:
                self.flow.pause_reading()
            self._account()

    def _account(self) -> None:
        queued = sum(len(cycle.body) for cycle, _ in self.pipeline)
        if not self._intake.account(queued, self._head_cost if self._in_head else 0):
            self.transport.abort()

    def _read_on(self) -> None:
        """A request was answered: take what was held for those behind it."""
        if self.transport.is_closing():
            return
        if not (data := self._intake.release()):
            self._account()
            return
        self._began_s = self.loop.time()
        self._take(data)
        if not self._intake.held and not self.pipeline:
            self.flow.resume_reading()

    def _body_left(self) -> int:
        """How much of the current request's body is still to come. 0 if there is none, or its length is not known."""
        if not self._arriving or self._in_head or self.headers is None:
            return 0
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        return int(length) - self._body_bytes if length.isdigit() else 0

    def on_response_complete(self) -> None:
        if self.answering is not None:
            scope = cast("dict[str, Any]", self.answering.scope)
            scope.pop(ANSWER, None)  # it has the scope, too: only the collector of garbage could free the two
            if self._intake.heads:
                self._forget_head(scope)
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._is_next = True
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since_s = self.loop.time()  # uvicorn has a timer for each answer instead

    def _forget_head(self, scope: dict[str, Any]) -> None:
        """An idle connection must not hold the head that came over it."""
        if cost := scope.pop(HEAD, 0):
            self._intake.heads -= cost
            scope["headers"].clear()
            scope["path"], scope["raw_path"], scope["query_string"] = "", b"", b""
            self._account()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._is_next or self.is_in_vain:
            self._stand_in_line(cycle, app)
        else:
            self._begin(cycle, app)

    def _stand_in_line(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._is_next = False
        if self.is_in_vain:
            self._shared.in_vain.join(partial(self._begin_in_vain, cycle, app))
        else:  # it waited behind another one
            self._shared.line.join(partial(self._begin, cycle, app))

    def _begin_in_vain(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._shared.in_vain.charge(IN_VAIN_S)
        self._begin(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.is_lost:
            return
        if self.flow.write_paused:
            self._deferred = cycle, app  # it would put an answer together that the client does not take
            return
        scope = cast("dict[str, Any]", cycle.scope)
        scope[ANSWER] = partial(answer, cycle)
        scope[CONNECTION] = self
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    # ---- answers that the client reads, or does not -----------------------------------------------------------------

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading.unread_since_s = None
        self._big_bytes = self.transport.get_write_buffer_size()
        if self._deferred is not None:
            (cycle, app), self._deferred = self._deferred, None
            self._begin(cycle, app)

    @property
    def unread_since_s(self) -> float | None:
        return self._reading.unread_since_s

    @property
    def unsent(self) -> int:
        """The bytes that are held for what is not sent. A big answer is held whole until its last byte is sent."""
        left = self.transport.get_write_buffer_size()
        return max(left, self._big_bytes) if left else 0

    def has_room_for(self, size: int) -> bool:
        """Whether an answer of this size may be written now: see `unsent.py`."""
        has_room = self._shared.unsent.take(size, self.loop.time())
        self._big_bytes = size if has_room else self._big_bytes
        return has_room

    async def drained(self) -> None:
        """Wait until the client has read what was written, or has left."""
        await self.flow.drain()

    def break_off(self) -> None:
        """Break the connection at once, whatever waits to be sent."""
        self.transport.abort()

    # ---- waiting for a request --------------------------------------------------------------------------------------

    @property
    def idle_since_s(self) -> float | None:
        """Since when it waits for a request, or for the rest of one. None while it has work, or something to send."""
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            return None
        if self._is_busy:
            return self._began_s if self._waits_for_body else None
        return self._began_s if self._arriving or self._idle_since_s is None else self._idle_since_s

    @property
    def _waits_for_body(self) -> bool:
        """Whether nothing can be done for its request, because a part of the body is to come."""
        return self._arriving and not self._in_head and self._answers_current_request

    def _has_idled_for(self, keep_alive_s: float, now_s: float) -> bool:
        """Whether it has had no request for longer than this. Requests that came at once may be answered in any turn
        of the loop, also while the next of them is parsed, so the time of the last answer alone does not tell."""
        if self._arriving or self._is_busy or self._idle_since_s is None:
            return False
        return now_s - self._idle_since_s > keep_alive_s

    def close_idle(self) -> None:
        if self._is_busy:
            self.refuse(Overloaded("its place was needed for another client, and the body was not complete"))
        else:
            self.transport.close()

    def cut_body(self) -> None:
        """The room for bodies is used up, and this one is not complete."""
        self.refuse(Overloaded("too many big requests arrive at this node at once; try again in a moment"))

    # ---- what takes too long ----------------------------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        """Close the connection if something takes too long. The server calls this once a second."""
        limits = self._api.limits
        if self._arriving and not self._intake.held:
            timeout_s = limits.head_timeout_s if self._in_head else limits.body_timeout_s
            if now_s - self._began_s > timeout_s:
                self.refuse(TooSlow("the request did not arrive in time; nothing was done"))
        elif self._has_idled_for(limits.keep_alive_s, now_s):
            self.transport.close()
        if self._reading.is_too_slow(self.transport.get_write_buffer_size(), self.unsent, limits, now_s):
            self.transport.abort()
