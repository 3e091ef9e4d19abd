"""What the HTTP room counts: plain numbers that the loop adds to. Prometheus gets them when it scrapes.

A call of a counter of prometheus-client takes a microsecond, an integer 40 ns. A hot route adds to five of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

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


class Counts(Collector):
    """The node's registry has it. Only the loop writes it; a scrape reads it without a lock, so its numbers may be from
    slightly different moments."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}  # (route, status) -> how many
        self.latencies: dict[str, LatencyHistogram] = {}
        self.applied = 0
        self.duplicates = 0
        self.rejected: dict[str, int] = {}  # reason -> how many
        self.connections = 0
        self.refused_connections = 0
        self.bad_requests = 0  # not HTTP at all
        self.streams = 0

    def served(self, route: str, status: int, seconds: float) -> None:
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        latency = self.latencies.get(route)
        if latency is None:
            latency = self.latencies[route] = LatencyHistogram()
        latency.add(seconds)

    def collect(self) -> Iterable[Metric]:
        yield self._requests()
        yield self._seconds()
        yield self._votes()
        yield GaugeMetricFamily("quorate_http_connections", "Open connections", self.connections)
        yield GaugeMetricFamily("quorate_http_event_streams", "Open /events streams", self.streams)
        yield CounterMetricFamily(
            "quorate_http_connections_refused", "Connections refused: too many", self.refused_connections
        )
        yield CounterMetricFamily("quorate_http_unreadable", "Requests that were not HTTP", self.bad_requests)

    def _requests(self) -> Metric:
        family = CounterMetricFamily("quorate_http_requests", "Requests answered", labels=["route", "status"])
        for (route, status), count in list(self.requests.items()):
            family.add_metric([route, str(status)], count)
        return family

    def _seconds(self) -> Metric:
        family = HistogramMetricFamily(
            "quorate_http_seconds", "From a request's headers to its answer", labels=["route"]
        )
        for route, latency in list(self.latencies.items()):
            below, buckets = 0, []
            for bound, count in zip([*map(str, SECONDS), "+Inf"], latency.buckets, strict=True):
                below += count
                buckets.append((bound, float(below)))
            family.add_metric([route], buckets, latency.sum_s)
        return family

    def _votes(self) -> Metric:
        family = CounterMetricFamily("quorate_votes", "Votes taken over HTTP, by outcome", labels=["outcome"])
        family.add_metric(["applied"], self.applied)
        family.add_metric(["duplicate"], self.duplicates)
        for reason, count in list(self.rejected.items()):
            family.add_metric([reason], count)
        return family
