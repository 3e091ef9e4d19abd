"""What the HTTP room counts: plain numbers that the loop adds to. Prometheus gets them when it scrapes.

A call of a counter of prometheus-client takes a microsecond, an integer 40 ns. A hot route adds to five of them.
"""

from __future__ import annotations

from bisect import bisect_left

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class LatencyHistogram:
    """How long the answers of one route took, in seconds."""

    __slots__ = ("buckets", "sum_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.sum_s += seconds


class Counts:
    """Only the loop writes it. A scrape reads without a lock, so its numbers may be from slightly different moments."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}  # (route, status) -> how many
        self.latencies: dict[str, LatencyHistogram] = {}
        self.applied = 0
        self.duplicates = 0
        self.rejected: dict[str, int] = {}  # reason -> how many
        self.connections = 0
        self.refused_connections = 0
        self.closed_idle = 0  # connections that waited for a request and made room for new ones
        self.broken_off = 0  # connections that left too much of their answers unread
        self.bad_requests = 0  # not HTTP at all
        self.streams = 0

    def served(self, route: str, status: int, seconds: float) -> None:
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        latency = self.latencies.get(route)
        if latency is None:
            latency = self.latencies[route] = LatencyHistogram()
        latency.add(seconds)
