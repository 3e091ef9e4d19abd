"""What the flusher asks of a sink: a place outside the cluster where people read tallies.

A sink stores absolute totals, never increments, each document guarded by a fence. Writing the same thing twice is
harmless, writing an older thing after a newer one is impossible. It also remembers which polls it was ever given (its
ledger), so that a document that people deleted is not brought back, and a sink that was emptied or replaced is filled.

Everything here may block: the flusher calls it on a thread of its own, and every call ends by its deadline.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """How new a document is. Compared as a string in the sink: fixed width, so that string order is number order.

    Only fences of one cluster can be compared; another cluster's stops the flush until `quorate sink adopt`.
    """

    generation: int  # raised by hand: recovery, adopting a sink
    term: int  # of the leader that flushes
    version: int  # of the state machine the totals were read at

    def __str__(self) -> str:
        return f"{self.generation:010d}.{self.term:016d}.{self.version:020d}"

    @classmethod
    def parse(cls, text: str) -> Fence:
        generation, term, version = text.split(".")
        return cls(int(generation), int(term), int(version))


@dataclass(frozen=True, slots=True)
class PollDocument:
    """A poll as people read it. `results` has every option, zeros too, in the poll's own order."""

    id: str
    title: str
    options: Sequence[str]
    results: Mapping[str, int]
    state: str
    version: int
    updated_ms: int  # the state machine's time (Unix, ms)
    write_ins: bool = False
    closes_at_ms: int | None = None
    initial_results: Mapping[str, int] | None = (
        None  # starting results the sink held when the poll was imported from it
    )

    @property
    def total(self) -> int:
        return sum(self.results.values())


class WriteOutcome(enum.Enum):
    """What became of one document. Anything but WRITTEN and SAME leaves what stood there untouched."""

    WRITTEN = "written"
    SAME = "same"  # it already carries this very fence: a retry of our own write
    NEWER = "newer"  # a newer fence stands there: we are no longer the leader, or soon will not be
    FOREIGN = "foreign"  # another cluster's fence stands there: `quorate sink adopt`
    CHANGED = "changed"  # an imported poll whose starting results changed before our first write: import it again
    TAKEN = "taken"  # a document put there by hand has the id of a poll that is no import: left to people
    GONE = "gone"  # someone deleted it; it is not brought back within this generation


@dataclass(frozen=True, slots=True)
class ManualPoll:
    """A poll that someone put into the sink by hand and no cluster has fenced yet."""

    id: str
    title: str
    options: Sequence[str]
    results: Mapping[str, int]  # of every option, zeros too, in the order of `options`
    state: Literal["draft", "open"] = "open"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that makes no sense as a poll; it is reported and left alone."""

    id: str
    why: str


class SinkError(Exception):
    """The sink cannot be reached or refuses; the flush is tried again later. The text says what to do."""


class Sink(Protocol):
    name: str  # for logs, metrics and /status: "sqlite", "mongo"

    def write(
        self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> dict[str, WriteOutcome]:
        """Write each document unless `fencing.judge` forbids it; the answer has every id. Durable on return.

        A sink may answer SAME for WRITTEN and the other way round: both say that this document stands there now.
        Raises `SinkError` when the sink cannot be reached, refuses a document, or the deadline passes; then nothing
        is known, and writing the same again is harmless.
        """
        ...

    def find(self, *, timeout_s: float) -> tuple[list[ManualPoll], list[Unreadable]]:
        """The polls put there by hand, at most `MANUAL_POLLS_MAX` of each kind at a time. Raises `SinkError`."""
        ...

    def touched(self, *, timeout_s: float) -> bool:
        """Whether someone may have put a poll there since the last call: a cheap hint to look sooner, never a promise.

        Always False where the sink cannot tell. Raises `SinkError`.
        """
        ...

    def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
        """(cluster id, fence) of another cluster's newest document, or None. Raises `SinkError`."""
        ...

    def adopt(self, cluster_id: str, *, timeout_s: float) -> int:
        """Make foreign documents this cluster's own, under a fence below all others; how many. Raises `SinkError`."""
        ...

    def read(self, *, timeout_s: float) -> dict[str, PollDocument]:
        """All fenced documents, as people would read them: for `quorate audit`, tests and curiosity."""
        ...

    def close(self) -> None:
        """Idempotent; calls under way end by their own deadlines. A closed sink answers `SinkError`."""
        ...


MANUAL_POLLS_MAX = 1_000  # claimed by the flush that follows, so that the one after it looks for the next thousand
