"""Counts operations, and their latencies, in buckets of time."""

from __future__ import annotations

import math
from array import array

from quorate.chaos.report.story import TimeLine

FINEST_S = 0.0001
STEP = 1.1  # latencies are told apart by a tenth
STEPS = 150  # up to 160 s
_PER_LOG = 1 / math.log(STEP)


class TimeLineCounts:
    def __init__(self, bucket_s: float, span_s: float) -> None:
        self._bucket_s, self._number = bucket_s, max(1, math.ceil(span_s / bucket_s))
        self._operations, self._acknowledged, self._unknown = ([0] * self._number for _ in range(3))
        self._latencies: list[array[int] | None] = [None] * self._number

    def add(self, begun: float, ended: float | None, outcome: str, is_vote: bool) -> None:
        place = self._place(begun if ended is None else ended)
        self._operations[place] += 1
        if outcome == "unknown":
            self._unknown[place] += 1
        elif is_vote and outcome == "ok" and ended is not None:
            self._acknowledged[place] += 1
            self._note_latency(begun, ended - begun)

    def _place(self, at: float) -> int:
        place = int(at / self._bucket_s)
        return place if 0 <= place < self._number else min(max(place, 0), self._number - 1)

    def _note_latency(self, begun: float, latency_s: float) -> None:
        place = self._place(begun)
        counts = self._latencies[place]
        if counts is None:
            counts = self._latencies[place] = array("Q", bytes(8 * STEPS))
        step = int(math.log(latency_s / FINEST_S) * _PER_LOG) if latency_s > FINEST_S else 0
        counts[min(step, STEPS - 1)] += 1

    def line(self) -> TimeLine:
        return TimeLine(
            self._bucket_s,
            self._operations,
            self._acknowledged,
            self._unknown,
            [_percentile_ms(counts, 0.5) for counts in self._latencies],
            [_percentile_ms(counts, 0.99) for counts in self._latencies],
        )


def _percentile_ms(counts: array[int] | None, share: float) -> float | None:
    """In the middle of its step."""
    if counts is None:
        return None
    left = share * sum(counts)
    for step, number in enumerate(counts):
        left -= number
        if number and left <= 0:
            return float(f"{1000 * FINEST_S * STEP ** (step + 0.5):.3g}")
    return None
