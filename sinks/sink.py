"""What the flush needs of a sink: a place outside the cluster where people read tallies.

A sink stores absolute totals, never increments, and each document is guarded by a fence. Writing the same document
twice is harmless. Writing an older document after a newer one is impossible. A sink also remembers which polls it was
ever given (its ledger). So a document that people deleted is not brought back, and a sink that was emptied or replaced
is filled again.

The Protocol is as small as the weakest database needs it: a sink that can take in polls put there by hand has a second
one, `importable.ImportableSink`. All calls may block. The flusher calls them on a thread of its own, and each call ends
by its deadline.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """How new a document is. The sink compares fences as texts: their width is fixed, so text order is number order.

    Only fences of one cluster can be compared. Another cluster's fence stops the flush until `quorate sink adopt`.
    """

    generation: int  # raised by hand: recovery, adopting a sink
    term: int  # of the leader that flushes
    version: int  # of the state machine when the totals were read

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
    initial_results: Mapping[str, int] | None = None  # with which the poll was imported; None: it was not imported
    written_as: str | None = None  # the fence under which this leadership wrote it last; None: not yet
    creation: int = 0  # tells the poll from an earlier or later one of its id

    @property
    def total(self) -> int:
        return sum(self.results.values())


class WriteOutcome(enum.Enum):
    """What became of one document. The first four say that it is stored now; otherwise the stored one was left alone.

    A sink that does not import never answers CHANGED, TAKEN or REPLACED. One that cannot compare never answers EDITED.
    """

    WRITTEN = "written"
    SAME = "same"  # the stored document has this very fence: a retry of our own write
    EDITED = "edited"  # written over a document of ours that people or another program had changed
    RESTORED = "restored"  # written where this leadership's own document was gone or older: the sink lost what it had
    NEWER = "newer"  # the stored document has a newer fence: this node is not the leader any more, or soon will not be
    FOREIGN = "foreign"  # the stored document has another cluster's fence: `quorate sink adopt`
    CHANGED = "changed"  # a hand-made document does not hold the results that the poll was imported with
    TAKEN = "taken"  # a hand-made document has the id of a poll that did not come from it: it is left to people
    REPLACED = "replaced"  # a hand-made document stands where this cluster's own was: its numbers may be counted
    GONE = "gone"  # the document was deleted; it is not brought back within this generation

    @property
    def is_stored(self) -> bool:
        return self in _STORED


_STORED = frozenset((WriteOutcome.WRITTEN, WriteOutcome.SAME, WriteOutcome.EDITED, WriteOutcome.RESTORED))


class SinkError(Exception):
    """The sink cannot be reached or refuses; the flush is tried again later. The text says what to do."""


class Sink(Protocol):
    name: str  # the adapter's name, for logs, metrics and /status: "sqlite", "mongo"

    def write(
        self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> dict[str, WriteOutcome]:
        """Write each document unless `fencing.judge` forbids it. The answer has every id. Durable on return.

        A sink may answer SAME for WRITTEN and the other way round: both say that this document is stored now.
        Raises `SinkError` when the sink cannot be reached, refuses a document, or the deadline passes. Then nothing
        is known, and writing the same documents again is harmless.
        """
        ...

    def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
        """(cluster id, fence) of another cluster's newest document, or None. Raises `SinkError`."""
        ...

    def adopt(self, cluster_id: str, *, timeout_s: float) -> int:
        """Give other clusters' documents to this cluster, under a fence below all others. Returns how many.

        Raises `SinkError`.
        """
        ...

    def read(self, *, timeout_s: float) -> dict[str, PollDocument]:
        """All fenced documents, as people would read them. Raises `SinkError`."""
        ...

    def close(self) -> None:
        """Idempotent. Calls under way end by their own deadlines. A closed sink answers with `SinkError`."""
        ...
