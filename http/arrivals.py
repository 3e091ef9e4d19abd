"""What arrives over one HTTP connection: uvicorn's parser callbacks, with bounds on heads and pieces.

The size and number of headers are bounded, and so is how many pieces a body comes in. A request that offers another
protocol is parsed once more without the offer (`upgrade.py`). A small request for votes is handed to `small_votes.py`
as soon as it is complete; of all others uvicorn makes an ASGI request when their head is complete. What a connection
does besides is `connection.py`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from quorate.doors.connection_places import ConnectionPlaces
from quorate.doors.unsent import UnsentBytes
from quorate.doors.waiting_bytes import WaitingBytes
from quorate.doors.waiting_line import WaitingLine
from quorate.errors import HeadersTooLarge, Invalid, Overloaded, QuorateError
from quorate.http.answer import closing_bytes
from quorate.http.api import Api
from quorate.http.counts import GONE
from quorate.http.flow import new_parser
from quorate.http.intake import HEADER_BYTES, SMALL_HEAD_BYTES, Intake
from quorate.http.known_head import KnownHead, known_head
from quorate.http.origins import hosts_in_line
from quorate.http.reply import Headers
from quorate.http.small_votes import PATH, URL, Connection, SmallVotes, SmallVotesRequest, is_plain
from quorate.http.upgrade import without_offer

HEAD = "quorate.head"  # the scope's key for what a big head takes until the request is answered
FEW_HEADERS = 32  # more than a browser sends
NO_BODY = ("GET", "HEAD")
PASS_OVER_S = 0.002  # between two pieces of bodies that nobody needs; a piece has a quarter of a megabyte at most
PIECES, PIECE_BYTES = 100, 8  # a body may come in so many pieces of any size; more must have so many bytes each


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of a server share."""

    places: ConnectionPlaces
    waiting: WaitingBytes
    unsent: UnsentBytes
    in_vain: WaitingLine
    small_votes: SmallVotes | None = None
    line: WaitingLine = field(default_factory=WaitingLine)
    passed_over: WaitingLine = field(default_factory=partial(WaitingLine, 1, PASS_OVER_S))


class Arrivals(HttpToolsProtocol):
    """Parses requests, and begins them."""

    def __init__(self, api: Api, shared: Shared, **given: Any) -> None:
        super().__init__(**given)
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.cycle: RequestResponseCycle = None  # type: ignore[assignment]  # uvicorn's: None until there is one
        self._api = api
        self._shared = shared
        self._intake = Intake(self._parse, self.pipeline, shared.waiting)
        self.answering: RequestResponseCycle | None = None  # the ASGI request that was begun last
        self.parser = new_parser(self)
        self._in_head = False  # the headers of the current request are not complete
        self._offers_upgrade = False  # the headers of the current request are parsed once more, without the offer
        self._began_s = self.loop.time()  # when the current request began to arrive
        self._arriving = True  # the current request is not complete
        self._head_bytes = 0  # of the current request's head, but for what came last
        self._big_head = 0  # what it takes, until its request has a scope
        self._parsed_before = 0  # bytes of a head that is parsed once more
        self._pieces = 0  # in which the current request's body, and trailers, have come
        self._body_bytes = 0  # of the current request's body, that have come
        self._may_begin_small = False  # one with each piece that comes: it may be answered at once, and others wait
        self._small: bytes | None = None  # the body of what may be a request for `small_votes.py`
        self._small_since_s = 0.0  # when its head was complete
        self._known: KnownHead | None = None  # of the last small request

    def _parse(self, data: bytes) -> bool:
        self._feed(data)
        if self._in_head:
            self._bound_head(len(data))
        return not self.transport.is_closing()

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
            self.parser = new_parser(self)
            self._parsed_before = len(head)
            self.parser.feed_data(head)

    def _refuse_unreadable(self) -> None:
        self._api.counts.bad_requests += 1
        self.refuse(Invalid("this is not a well-formed HTTP request"))

    def on_message_begin(self) -> None:
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._small = None
        self._began_s = self.loop.time()
        self._arriving = self._in_head = True
        self._head_bytes, self._parsed_before = self._parsed_before, 0
        self._body_bytes = self._pieces = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._offers_upgrade = self.parser.should_upgrade()
        if not self._offers_upgrade:
            if self._head_bytes or len(self.headers) > FEW_HEADERS:
                self._admit_head()
            if self._may_be_small():
                self._small, self._small_since_s = b"", time.perf_counter()
            else:
                self._make_cycle()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))
        else:  # a trailer, after a chunked body: nobody needs it
            self._bound_pieces()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._small is not None:
            self._small += body
            return
        self._bound_pieces()
        if self.scope["method"] not in NO_BODY:  # nobody would read it, so it would stay here
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._small is not None:
            self._arriving = False
            self._begin_small(self.headers, self._small)
        elif not self._offers_upgrade:
            self._arriving = False
            super().on_message_complete()

    # ---- small votes ------------------------------------------------------------------------------------------------

    def _may_be_small(self) -> bool:
        """Whether `small_votes.py` answers the request when its body has come."""
        return (
            self.url == URL
            and self._shared.small_votes is not None
            and self._may_begin_small
            and not self._is_busy
            and not self._head_bytes
            and len(self.headers) <= FEW_HEADERS
            and not self.flow.write_paused
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and is_plain(self.headers)
        )

    def _begin_small(self, headers: Headers, body: bytes) -> None:
        assert self._shared.small_votes is not None
        self._small, self.answering, self._may_begin_small = None, None, False
        request = SmallVotesRequest(self._shared.small_votes, cast("Connection", self), self._small_since_s)
        self.cycle = cast("RequestResponseCycle", request)
        request.begin(headers, body)

    def _parse_alone(self, data: bytes) -> None:
        """Parse what came when nothing was under way, and keep the head if it was one small request."""
        if self._known is not None and self._may_begin_small and not self.flow.write_paused:
            body = self._known.body_of(data)
            if body is not None:
                self._began_s, self._small_since_s = self.loop.time(), time.perf_counter()
                self._begin_small(self._known.headers, body)
                return
        self._known = None
        self._parse(data)
        if not (self._may_begin_small or self._arriving or self._offers_upgrade or self._head_bytes):
            self._known = known_head(data, self.headers, self._body_bytes)

    def _leave_small(self) -> None:
        """The client has left, or was refused, before the body was complete."""
        if self._small is not None:
            self._small = None
            self._api.counts.served(PATH, GONE, time.perf_counter() - self._small_since_s)

    def shutdown(self) -> None:
        """Answer the request that arrives or waits, and close."""
        body, self._small = self._small, None
        if body is not None:
            self._make_cycle()
            super().on_body(body)
        super().shutdown()

    def _make_cycle(self) -> None:
        """Have uvicorn begin the request."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        if url[:1] != b"/":
            self.headers.extend(hosts_in_line(url, headers))
        if self._big_head:
            cast("dict[str, Any]", self.scope)[HEAD], self._big_head = self._big_head, 0
        super().on_headers_complete()

    @property
    def date(self) -> Headers:
        return self.server_state.default_headers

    # ---- bounds -----------------------------------------------------------------------------------------------------

    def _bound_pieces(self) -> None:
        """Chunks of one byte, and trailers without end, cost a call for each few bytes."""
        self._pieces += 1
        if self._pieces > PIECES and self._body_bytes < PIECE_BYTES * self._pieces:
            self.refuse(Invalid(f"the body comes in chunks of fewer than {PIECE_BYTES} bytes"))
            raise httptools.HttpParserError("its body was refused")

    def _bound_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._api.limits.head_bytes:
            self.refuse(HeadersTooLarge(f"the headers are over {self._api.limits.head_bytes:,} bytes"))
        elif len(self.headers) > self._api.limits.headers:
            self.refuse(HeadersTooLarge(f"there are over {self._api.limits.headers} headers"))

    @property
    def _head_cost(self) -> int:
        """What the current request's head takes: the parts of the address are kept several times."""
        return self._head_bytes + HEADER_BYTES * len(self.headers) + 3 * len(self.url)

    def _admit_head(self) -> None:
        """Refuse a request before it begins if its head is too much. Then it raises, so nothing more is parsed."""
        self._in_head = True
        self._bound_head(0)
        cost = self._head_cost
        if cost > SMALL_HEAD_BYTES and not self.transport.is_closing():
            if self._intake.has_room_for_head(cost):
                self._big_head = cost
            else:
                self.refuse(Overloaded("requests with big headers have all the room that there is for them; try again"))
        self._in_head = False
        if self.transport.is_closing():
            raise httptools.HttpParserError("its head was refused")

    # ---- hanging up -------------------------------------------------------------------------------------------------

    @property
    def _is_busy(self) -> bool:
        """Whether a request has no complete answer."""
        if self._small is not None:
            return True
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

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
        if cycle is None or self._small is not None:
            return True
        if cycle.response_complete:
            return not in_body
        return in_body and not cycle.response_started and not self.pipeline
