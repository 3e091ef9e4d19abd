"""What the HTTP room needs of a node. `node.py` makes it, complete; nothing in this room reaches for more.

All of it belongs to the node's loop, where the handlers run. Flask's threads read only the leader's id from it, for the
headers, and render what a handler has already collected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from quorate.cluster.audit.answers import AuditedPage
from quorate.cluster.read.digests import ASKED_MAX, POINTS_ASKED_MAX, Digests
from quorate.cluster.read.reads import Reads
from quorate.cluster.read.version_waits import WAITING_MAX
from quorate.cluster.replica import Replica
from quorate.cluster.submit.submitter import Submitter
from quorate.doors.access import Access
from quorate.doors.caller_places import CallerPlaces
from quorate.doors.events import Events
from quorate.doors.limits import Limits
from quorate.history.recorder import History
from quorate.http.big_votes import BigVotes
from quorate.http.counts import Counts
from quorate.http.origins import Origins
from quorate.http.parse_pool import ParsePool
from quorate.http.refusals import RefusalWords
from quorate.measures import Measures
from quorate.security.caller import Caller
from quorate.tracing import Tracer
from quorate.turns import ThreadTurns, Turns
from quorate.words import Action

BACKUPS_MAX = 2  # at once: each holds a copy of what may change of the state
HISTORIES_MAX = 16
AT_LEADER_MAX = 1_024  # reads: so many calls of one kind are made to a peer at once

FLASK_REST = 5.0  # times as long as the work: while a thread of Flask's works, each step of a vote waits for it


class CheckResult(NamedTuple):
    ready: bool
    words: str
    more: str = ""  # shown by /readyz?verbose


@dataclass(frozen=True, slots=True)
class Check:
    """One line of /readyz. `run` is quick and is called on the loop.

    A check with `sync` is about the sink. Only `/readyz?sync` runs it.
    """

    name: str
    run: Callable[[], CheckResult]
    sync: bool = False


@dataclass(frozen=True, slots=True)
class MemberAddresses:
    """Where a node of the cluster is found. `http` is a URL, `raft` a host:port; "" when not known."""

    id: str
    http: str
    raft: str


class Operator(Protocol):
    """What operators may ask of the cluster at any node. The leader does it. Each call ends within half a minute."""

    async def members(self) -> Sequence[Mapping[str, Any]]: ...

    async def change(
        self, action: Action, id: str, raft: str | None, incarnation: str | None = None
    ) -> Sequence[Any]: ...

    async def transfer(self) -> str: ...


class Settings(Protocol):
    """The settings that concern the whole cluster. Each call ends within the limit of a request."""

    async def show(self) -> Mapping[str, Any]: ...

    async def set(self, name: str, value: Any) -> Mapping[str, Any]: ...


class Auditor(Protocol):
    """What `quorate audit` asks of the leader. Each call ends within the limit of an operator's request."""

    async def reach(self, version: int) -> int: ...

    async def page(self, after: str | None, *, sink: str | None = None, repair: bool = False) -> AuditedPage: ...


@dataclass(frozen=True, slots=True)
class ReadPlaces:
    """Of reads that may take long. The rooms below bound how many there are, and these who may take them."""

    at_leader: CallerPlaces = field(default_factory=lambda: CallerPlaces(AT_LEADER_MAX, "reads that ask the leader"))
    waits: CallerPlaces = field(default_factory=lambda: CallerPlaces(WAITING_MAX, "reads that wait for a version"))
    digests: CallerPlaces = field(default_factory=lambda: CallerPlaces(ASKED_MAX, "digests under way"))
    log_points: CallerPlaces = field(
        default_factory=lambda: CallerPlaces(POINTS_ASKED_MAX, "questions about entries of the log")
    )
    backups: CallerPlaces = field(default_factory=lambda: CallerPlaces(BACKUPS_MAX, "backups under way"))

    histories: CallerPlaces = field(default_factory=lambda: CallerPlaces(HISTORIES_MAX, "histories under way"))

    def end(self, caller_may: Callable[[Caller], bool]) -> None:
        for each in (self.at_leader, self.waits, self.digests, self.log_points, self.backups, self.histories):
            each.end(caller_may)


@dataclass(frozen=True, slots=True)
class Api:
    """The parts of a node that handlers use, complete when it is made. `loop` is the node's loop."""

    replica: Replica
    submitter: Submitter
    reads: Reads
    digests: Digests
    events: Events
    members: Callable[[], Sequence[MemberAddresses]]
    nodes: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]  # each member as GET /nodes shows it
    status: Callable[[], Mapping[str, Any]]  # all that GET /status shows; called on the loop
    version: Callable[[], Mapping[str, Any]]
    measures: Callable[[], Measures] = Measures  # for GET /metrics
    tracer: Tracer | None = None  # None: no request is traced
    operator: Operator | None = None
    adopt_sink: Callable[[str | None], Coroutine[Any, Any, Any]] | None = None  # by name, or (None) all sinks
    settings: Settings | None = None
    auditor: Auditor | None = None
    history: History | None = None
    checks: Sequence[Check] = ()
    access: Access = field(default_factory=Access)
    origins: Origins = field(default_factory=Origins)
    limits: Limits = field(default_factory=Limits)
    refusals: RefusalWords = field(default_factory=RefusalWords)
    counts: Counts = field(default_factory=Counts)
    parse_pool: ParsePool = field(default_factory=ParsePool)
    big_votes: BigVotes = field(default_factory=BigVotes)
    places: ReadPlaces = field(default_factory=ReadPlaces)
    turns: Turns = field(default_factory=Turns)  # of big work on the loop
    thread_turns: ThreadTurns = field(default_factory=partial(ThreadTurns, FLASK_REST))  # of Flask's threads
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def end_revoked(self) -> None:
        """Other tokens hold than before: end the streams, and what waits, of those that do not."""
        self.events.end(self.access.holds)
        self.places.end(self.access.holds)
