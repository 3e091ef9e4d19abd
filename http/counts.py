"""What the HTTP room counts: plain numbers that the loop adds to. Prometheus gets them when it scrapes.

A call of a counter of prometheus-client takes a microsecond, an integer 40 ns. A hot route adds to five of them.
"""

from __future__ import annotations

from quorate.measures import Histogram

GONE = 499  # the client left before there was an answer: nginx's number, never sent


class Counts:
    """Only the loop writes it. A scrape reads without a lock, so its numbers may be from slightly different moments."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}  # (route, status) -> how many
        self.latencies: dict[str, Histogram] = {}
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
            latency = self.latencies[route] = Histogram()
        latency.add(seconds)
