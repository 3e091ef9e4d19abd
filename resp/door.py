"""What the RESP door uses of its node, and what it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from quorate.cluster.read.reads import Reads
from quorate.cluster.replica import Replica
from quorate.cluster.submit.submitter import Submitter
from quorate.doors.access import Access
from quorate.doors.casting import Castings
from quorate.doors.connection_places import ConnectionPlaces
from quorate.doors.events import Events
from quorate.doors.limits import Limits
from quorate.doors.reading import ReadingPlaces
from quorate.doors.unsent import UnsentBytes
from quorate.doors.waiting_bytes import WaitingBytes
from quorate.doors.waiting_line import WaitingLine
from quorate.fair_lock import FairLock
from quorate.resp.alike import Tails
from quorate.tracing import Tracer
from quorate.turns import Turns
from quorate.vote import Outcome

COMMANDS_A_STEP = 1_000  # of connections that stand in line: their time is what bounds them


@dataclass(slots=True)
class RespCounts:
    """Since the node started, as /status has it. Names of commands are those of the table, so they are few."""

    connections: int = 0  # now
    votes: Counter[str] = field(default_factory=lambda: Counter(applied=0, duplicate=0))  # by what became of them
    commands: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)  # by the first word of the error
    unknown_outcomes: int = 0  # for which a connection was closed
    protocol_errors: int = 0
    refused_connections: int = 0

    def note(self, outcomes: bytes) -> None:
        for code in {*outcomes}:
            self.votes[Outcome(code).reason] += outcomes.count(code)


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A node as cluster clients are told of it. Its address is one that serves RESP."""

    id: str
    host: str
    port: int
    leads: bool


@dataclass(frozen=True, slots=True)
class Door:
    """Made once for a node. Used on the node's loop."""

    node_id: str
    version: str
    replica: Replica
    submitter: Submitter
    reads: Reads
    read_places: ReadingPlaces
    access: Access
    limits: Limits
    places: ConnectionPlaces
    unsent: UnsentBytes
    waiting: WaitingBytes
    events: Events
    turns: Turns
    nodes: Callable[[], Awaitable[Sequence[ClusterNode]]]
    leader_address: Callable[[], str | None]  # where it serves RESP; None: not known
    voters: Callable[[], int]
    timeout_s: float
    allow_unkeyed: bool = False
    tracer: Tracer | None = None  # None: nothing is traced
    counts: RespCounts = field(default_factory=RespCounts)
    tails: Tails = field(default_factory=Tails)
    parsing: FairLock = field(default_factory=FairLock)  # of who parses the votes of a big transaction
    line: WaitingLine = field(init=False)  # of all that is not a vote
    castings: Castings = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "castings", Castings(self.submitter, self.timeout_s, self.tracer))
        object.__setattr__(self, "line", WaitingLine(COMMANDS_A_STEP, version=lambda: self.replica.state.version))

    @property
    def majority(self) -> int:
        return self.voters() // 2 + 1
