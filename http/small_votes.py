"""Small votes are answered from the protocol's callbacks, without an ASGI task: a third door, for the busiest route.

A `POST /votes` has up to a kilobyte, and comes to a connection that has nothing else to do. A task, a scope and the
messages of ASGI would cost more than all the rest that a node does for one vote. Votes that each stand alone are cast
with those of other requests (`casting.py`). For what is counted as a whole, the handler is the same coroutine as behind
the other doors, and is run by hand (`by_hand.py`). Everything that is not so plain goes to `asgi.py`, as if this file
were not there (`is_plain`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from quorate.cluster.submit.batch import tallied_of
from quorate.cluster.submit.vote_columns import DecidedColumns, columns_of
from quorate.doors.by_hand import ByHand, Work
from quorate.doors.casting import Castings
from quorate.doors.unsent import BIG_BYTES
from quorate.errors import QuorateError
from quorate.http.answer import all_counted_bytes, quick_bytes
from quorate.http.api import Api
from quorate.http.handlers.votes import read_plain, told
from quorate.http.reply import Headers, Reply, internal, problem, signature
from quorate.http.request import Request
from quorate.http.scope import caller_of, read_headers
from quorate.http.vote_body import ParsedVotes
from quorate.security.roles import RouteRole
from quorate.tracing import RequestTrace
from quorate.vote import Tallied

Handler = Callable[[Request], Work]

PATH = "/votes"
URL = PATH.encode()
SMALL_BYTES = 1_024  # of a body; a bigger one is parsed on a thread
SMALL_DIGITS = 4

NOT_PLAIN = frozenset((b"origin", b"expect", b"transfer-encoding"))


def is_plain(headers: Headers) -> bool:
    """Whether the body is small, and nothing asks for more than an answer."""
    length = b""
    for name, value in headers:
        if name in NOT_PLAIN:
            return False
        if name == b"content-length":
            length = value
    return length.isdigit() and len(length) <= SMALL_DIGITS and int(length) <= SMALL_BYTES


class Connection(Protocol):
    """A connection, as this file sees it."""

    client: tuple[str, int] | None
    transport: asyncio.Transport
    is_lost: bool

    @property
    def date(self) -> Headers: ...

    def has_room_for(self, size: int) -> bool: ...

    def on_response_complete(self) -> None: ...


class SmallVotes:
    """The door of a node."""

    def __init__(self, api: Api, answer: Handler, role: RouteRole) -> None:
        """`answer` and `role` are those of the route."""
        self.api, self.answer, self.role = api, answer, role
        self.castings = Castings(api.submitter, api.limits.timeout_s)
        self.waiting: set[SmallVotesRequest] = set()
        self._all_answered: asyncio.Event | None = None

    def answered(self, request: SmallVotesRequest) -> None:
        self.waiting.discard(request)
        if self._all_answered is not None and not self.waiting:
            self._all_answered.set()

    async def drained(self) -> None:
        """Wait until no request waits for the outcome of its votes. No new ones may come."""
        if self.waiting:
            self._all_answered = asyncio.Event()
            await self._all_answered.wait()

    def cut(self) -> None:
        """Give up what waits. Connections are closed by now, so nobody is told anything."""
        for request in self.waiting:
            request.cut()
        self.waiting.clear()


class _NoEvent:
    """uvicorn tells its cycle so that something has come."""

    def set(self) -> None: ...


class SmallVotesRequest(ByHand):
    """One request. It stands where uvicorn has its cycle, so uvicorn knows that the connection is busy."""

    __slots__ = (
        "_began_s",
        "_cast",
        "_connection",
        "_door",
        "_trace",
        "disconnected",
        "keep_alive",
        "response_complete",
        "response_started",
    )
    message_event = _NoEvent()

    def __init__(self, door: SmallVotes, connection: Connection, began_s: float) -> None:
        """`began_s`: when its head was complete."""
        super().__init__()
        self._door, self._connection = door, connection
        self._trace: RequestTrace | None = None
        self._began_s = began_s
        self._cast: tuple[Request, ParsedVotes] | None = None  # what is cast with others
        self.disconnected = self.response_started = self.response_complete = False
        self.keep_alive = True

    def begin(self, headers: Headers, body: bytes) -> None:
        if (tracer := self._door.api.tracer) is not None:
            self._trace = tracer.begin(headers)
        if self._trace is not None:
            self.trace(self._trace)
        self._door.waiting.add(self)
        try:
            request = self._read(headers, body)
            parsed = read_plain(self._door.api, request) if self._trace is None else None
            if parsed is not None:
                self._cast_together(request, parsed)
                return
            work = self._door.answer(request)
        except Exception as error:
            self.failed(error)
        else:
            self.run(work)

    def _read(self, headers: Headers, body: bytes) -> Request:
        door = self._door
        api, scope = door.api, {"client": self._connection.client, "headers": headers}
        api.origins.check(headers)
        request = Request(PATH, caller_of(scope, api.access, door.role), body=body)
        read_headers(request, scope)
        return request

    # ---- votes that are cast with others ----------------------------------------------------------------------------

    def _cast_together(self, request: Request, parsed: ParsedVotes) -> None:
        door = self._door
        votes = columns_of(parsed.votes, door.api.submitter.hash_key)
        self._cast = request, parsed
        door.castings.cast(self, votes, request.caller.share)

    def all_counted(self, version: int) -> None:
        assert self._cast is not None
        door, connection, (request, parsed) = self._door, self._connection, self._cast
        votes = len(parsed.votes)
        if not self.keep_alive:  # the node is stopping
            self.run(told(door.api, request, parsed, Tallied(votes, 0, [], version)))
            return
        door.api.counts.applied += votes
        self._end(200)
        if not connection.is_lost:
            signed = signature(door.api.replica)
            connection.transport.write(all_counted_bytes(votes, version, signed, connection.date[0]))
            self._sent()

    def decided(self, version: int, outcomes: bytes) -> None:
        assert self._cast is not None
        request, parsed = self._cast
        tallied = tallied_of(parsed.votes, DecidedColumns(version, outcomes))
        self.run(told(self._door.api, request, parsed, tallied))

    def not_counted(self, error: BaseException) -> None:
        self.failed(error)

    # ---- its end ----------------------------------------------------------------------------------------------------

    def ended(self, value: Any) -> None:
        self._answer(value)

    def failed(self, error: BaseException) -> None:
        self._answer(problem(error, PATH) if isinstance(error, QuorateError) else internal(error, PATH))

    def _answer(self, answer: Reply) -> None:
        door, connection = self._door, self._connection
        self._end(answer.status)
        if not connection.is_lost:
            if len(answer.body) > BIG_BYTES:
                connection.has_room_for(len(answer.body))  # it is sent all the same: it says what was done
            data = quick_bytes(answer, door.api.replica, connection.date, keep_alive=self.keep_alive)
            connection.transport.write(data)
            self._sent()
        if self._trace is not None and door.api.tracer is not None:
            door.api.tracer.end(self._trace, PATH, answer.status)

    def _end(self, status: int) -> None:
        door = self._door
        door.answered(self)
        door.api.counts.served(PATH, status, time.perf_counter() - self._began_s)
        self.response_started = self.response_complete = True

    def _sent(self) -> None:
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.on_response_complete()
