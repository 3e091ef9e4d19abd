"""Gives operations their numbers and times, writes them when they end, and keeps the few figures that a terminal shows.

Used on the loop of the clients alone. The file takes lines from any thread.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from quorate.chaos.history import (
    Cast,
    HistoryFile,
    NodeDigest,
    OpenSession,
    PollChange,
    Read,
    Record,
    is_published,
)

LATEST = 4_000  # of them come in some seconds

AnyOperation = Cast | Read | PollChange | OpenSession | NodeDigest
Begun = TypeVar("Begun", Cast, Read, PollChange, OpenSession, NodeDigest)


@dataclass(slots=True)
class LiveCounts:
    """How far the clients are. Each number only grows."""

    operations: int = 0
    acknowledged: int = 0  # requests of votes that were answered
    unknown: int = 0  # answers that never came, or said that they do not know
    refused: Counter[str] = field(default_factory=Counter)  # surely without effect, by the words of the answer
    probe_acks: int = 0
    last_probe_ack: float | None = None
    longest_gap_s: float = 0.0  # of the probe, without an acknowledged vote


class Recorder:
    """`changed` is told each change of a poll and each opening of a session, when it has ended."""

    def __init__(self, history: HistoryFile, changed: Callable[[PollChange | OpenSession], None]) -> None:
        self.counts = LiveCounts()
        self.newest_version = 0  # that anybody was told
        self._history, self._changed = history, changed
        self._last_ack: dict[str, float] = {}  # node -> when its last acknowledged request of votes was sent
        self._origin_s = time.monotonic()
        self._next = 1
        self._open: dict[int, AnyOperation] = {}
        self._casts: deque[Cast] = deque(maxlen=LATEST)  # that ended last

    def now(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self._origin_s, 6)

    def number(self) -> int:
        number, self._next = self._next, self._next + 1
        return number

    def begin(self, operation: Begun) -> Begun:
        self._open[operation.number] = operation
        return operation

    def end(self, operation: AnyOperation) -> None:
        """Its outcome is set. Write it."""
        operation.ended = self.now()
        self._open.pop(operation.number, None)
        self.counts.operations += 1
        if operation.outcome == "ok":
            if operation.version is not None and operation.version > self.newest_version:
                self.newest_version = operation.version
        elif operation.outcome == "unknown":
            self.counts.unknown += not is_published(operation)
        else:
            self.counts.refused[operation.error] += 1
        self._history.write(operation)
        if isinstance(operation, Cast):
            self._casts.append(operation)
        elif isinstance(operation, PollChange | OpenSession):
            self._changed(operation)

    def note(self, record: Record) -> None:
        self._history.write(record)

    def acknowledged(self, cast: Cast) -> None:
        self.counts.acknowledged += 1
        self._last_ack[cast.node] = cast.begun

    def last_ack_of(self, node: str) -> float:
        """When the last request of votes that this node acknowledged was sent; 0 before the first."""
        return self._last_ack.get(node, 0.0)

    def votes_in_flight(self, moment: float) -> int:
        """Requests of votes that were on their way at that moment, a while ago at most. From any thread."""
        open_ones = (each for each in list(self._open.values()) if isinstance(each, Cast))
        ended = (each for each in self._casts.copy() if each.ended is not None and each.ended >= moment)
        return sum(each.begun < moment for each in (*open_ones, *ended))

    def probe_acknowledged(self) -> None:
        counts, now = self.counts, self.now()
        counts.probe_acks += 1
        counts.longest_gap_s = max(counts.longest_gap_s, now - (counts.last_probe_ack or now))
        counts.last_probe_ack = now

    def write_open(self) -> int:
        """Write the operations that never ended, as unknown. How many they were."""
        left = list(self._open.values())
        for operation in left:
            self._history.write(operation)
        self._open.clear()
        return len(left)

    @property
    def operations(self) -> int:
        """Those that have begun."""
        return self._next - 1
