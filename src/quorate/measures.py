"""Histograms that rooms fill as they work. GET /metrics reads them; the rooms do not know Prometheus.

A sum and one bucket are added to, which takes 0.1 µs; a histogram of prometheus-client takes 0.5 µs. Each histogram
has one writer, which is one thread. A reader takes no lock, so the buckets that it sees may be one observation apart
from the sum.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SHORT_SECONDS = (0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, *SECONDS)
COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0)
BYTES = tuple(float(4**power) for power in range(3, 13))  # 64 bytes to 16 MiB


class Histogram:
    """How many observations were at most as big as each bound, and their sum."""

    __slots__ = ("bounds", "buckets", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)  # each without those below it; the last is above all bounds
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass(frozen=True, slots=True)
class Measures:
    """What a node has measured since it runs."""

    log: Mapping[str, Histogram] = field(default_factory=dict)  # commit, entry_bytes, apply, sync, batch_requests
    flushes: Mapping[str, Histogram] = field(default_factory=dict)  # by sink
