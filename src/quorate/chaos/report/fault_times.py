"""When which fault was active, and what became of the operations that were under way meanwhile."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import accumulate

from quorate.chaos.history import Fault
from quorate.chaos.report.story import FAULTS_MAX, KINDS_MAX, NAME_MAX, VICTIMS_MAX, WORDS_MAX, FaultSpan, KindFigures

OPERATIONS, ACKNOWLEDGED, UNKNOWN, REFUSED = range(4)


class FaultTimes:
    """Time is cut where a fault begins or ends. An operation is counted by the first and the last cut that it spans."""

    def __init__(self, faults: Sequence[Fault], span_s: float, order: Sequence[str]) -> None:
        spans = _spans(faults)
        self.spans, self.left_out = spans[:FAULTS_MAX], max(0, len(spans) - FAULTS_MAX)
        self._span_s = span_s
        self._all = Counter(span.name for span in spans)
        places = {name[:NAME_MAX]: place for place, name in enumerate(order)}
        kinds = sorted({span.name for span in self.spans}, key=lambda name: (places.get(name, len(places)), name))
        self._kinds, self.kinds_left_out = kinds[:KINDS_MAX], max(0, len(kinds) - KINDS_MAX)
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
        busy = KindFigures("", sum(self._all.values()), *self._under_way(self.spans))
        total = [sum(counts[each] for counts in self._counts.values()) for each in range(4)]
        broken = (busy.operations, busy.acknowledged, busy.unknown, busy.refused)
        quiet = KindFigures("", 0, *(whole - part for whole, part in zip(total, broken, strict=True)))
        of: defaultdict[str, list[FaultSpan]] = defaultdict(list)
        for span in self.spans:
            of[span.name].append(span)
        return [KindFigures(name, self._all[name], *self._under_way(of[name])) for name in self._kinds], quiet

    def _under_way(self, spans: Sequence[FaultSpan]) -> list[int]:
        """What became of the operations during any of these."""
        rises = [0] * (len(self._cuts) + 2)  # by piece of time: how many begin to be active there, less those that end
        for span in spans:
            rises[bisect_left(self._cuts, span.begun) + 1] += 1
            rises[bisect_left(self._cuts, self._end(span)) + 1] -= 1
        before = [0, *accumulate(number > 0 for number in accumulate(rises))]
        sums = [0, 0, 0, 0]
        for (first, last), counts in self._counts.items():
            if before[last + 1] > before[first]:
                sums = [sum(pair) for pair in zip(sums, counts, strict=True)]
        return sums


def _spans(faults: Sequence[Fault]) -> list[FaultSpan]:
    spans: dict[int, FaultSpan] = {}
    for fault in faults:
        if fault.phase == "begin":
            name, words = fault.name[:NAME_MAX], fault.words[:WORDS_MAX]
            spans[fault.number] = FaultSpan(fault.number, name, fault.at, None, fault.victims[:VICTIMS_MAX], words)
        elif fault.number in spans and fault.at >= spans[fault.number].begun:
            spans[fault.number].ended = fault.at
    return sorted(spans.values(), key=lambda span: span.begun)
