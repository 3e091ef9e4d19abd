"""When which fault was active, and what became of the operations that were under way meanwhile."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from quorate.chaos.history import Fault
from quorate.chaos.report.story import FAULTS_MAX, FaultSpan, KindFigures

OPERATIONS, ACKNOWLEDGED, UNKNOWN, REFUSED = range(4)


class FaultTimes:
    """Time is cut where a fault begins or ends. An operation is counted by the first and the last cut that it spans."""

    def __init__(self, faults: Sequence[Fault], span_s: float, order: Sequence[str]) -> None:
        spans = _spans(faults)
        self.spans, self.left_out = spans[:FAULTS_MAX], max(0, len(spans) - FAULTS_MAX)
        self._span_s = span_s
        self._all = Counter(span.name for span in spans)
        self._order = {name: place for place, name in enumerate(order)}
        self._cuts = sorted({at for span in self.spans for at in (span.begun, self._end(span))})
        self._counts: dict[tuple[int, int], list[int]] = {}

    def _end(self, span: FaultSpan) -> float:
        return self._span_s if span.ended is None else span.ended

    def add(self, begun: float, ended: float, outcome: str, is_vote: bool) -> None:
        key = (bisect_right(self._cuts, begun), bisect_right(self._cuts, ended))
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0, 0, 0, 0]
        counts[OPERATIONS] += 1
        if outcome == "unknown":
            counts[UNKNOWN] += 1
        elif outcome == "fail":
            counts[REFUSED] += 1
        elif is_vote and outcome == "ok":
            counts[ACKNOWLEDGED] += 1

    def by_kind(self) -> tuple[list[KindFigures], KindFigures]:
        """Each kind of fault, in the order in which they were asked for; and the time without any."""
        active = self._active()
        kinds = sorted(active, key=lambda name: (self._order.get(name, len(self._order)), name))
        anything = [any(at) for at in zip(*active.values(), strict=True)] if active else [False] * self._pieces
        busy = KindFigures("", sum(self._all.values()), *self._under_way(anything))
        total = [sum(counts[each] for counts in self._counts.values()) for each in range(4)]
        broken = (busy.operations, busy.acknowledged, busy.unknown, busy.refused)
        quiet = KindFigures("", 0, *(whole - part for whole, part in zip(total, broken, strict=True)))
        return [KindFigures(name, self._all[name], *self._under_way(active[name])) for name in kinds], quiet

    @property
    def _pieces(self) -> int:
        return len(self._cuts) + 1

    def _active(self) -> dict[str, list[bool]]:
        """For each kind, the pieces of time in which one of it was active."""
        active: dict[str, list[bool]] = {}
        for span in self.spans:
            pieces = active.setdefault(span.name, [False] * self._pieces)
            for piece in range(bisect_left(self._cuts, span.begun) + 1, bisect_left(self._cuts, self._end(span)) + 1):
                pieces[piece] = True
        return active

    def _under_way(self, active: Sequence[bool]) -> list[int]:
        before = [0, *accumulate(active)]
        sums = [0, 0, 0, 0]
        for (first, last), counts in self._counts.items():
            if before[last + 1] > before[first]:
                sums = [sum(pair) for pair in zip(sums, counts, strict=True)]
        return sums


def _spans(faults: Sequence[Fault]) -> list[FaultSpan]:
    spans: dict[int, FaultSpan] = {}
    for fault in faults:
        if fault.phase == "begin":
            spans[fault.number] = FaultSpan(fault.number, fault.name, fault.at, None, fault.victims, fault.words)
        elif fault.number in spans and fault.at >= spans[fault.number].begun:
            spans[fault.number].ended = fault.at
    return sorted(spans.values(), key=lambda span: span.begun)
