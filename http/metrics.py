"""What GET /metrics shows, as Prometheus text or JSON.

There are two sources: the `Counts` of the HTTP room, and every number in `/status`. Each number of `/status` is a gauge
that is named by its path there. So the two answers never disagree, and the other rooms need not know Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from quorate.http.counts import SECONDS, Counts


class CountsCollector(Collector):
    """The counts of the HTTP room as Prometheus has them."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        yield self._requests()
        yield self._seconds()
        yield self._votes()
        yield GaugeMetricFamily("quorate_http_connections", "Open connections", self._counts.connections)
        yield GaugeMetricFamily("quorate_http_event_streams", "Open /events streams", self._counts.streams)
        yield CounterMetricFamily(
            "quorate_http_connections_refused", "Connections refused: too many", self._counts.refused_connections
        )
        yield CounterMetricFamily(
            "quorate_http_connections_closed_idle", "Idle connections closed for new ones", self._counts.closed_idle
        )
        yield CounterMetricFamily(
            "quorate_http_connections_broken_off", "Connections that left too much unread", self._counts.broken_off
        )
        yield CounterMetricFamily("quorate_http_unreadable", "Requests that were not HTTP", self._counts.bad_requests)

    def _requests(self) -> Metric:
        family = CounterMetricFamily("quorate_http_requests", "Requests answered", labels=["route", "status"])
        for (route, status), count in list(self._counts.requests.items()):
            family.add_metric([route, str(status)], count)
        return family

    def _seconds(self) -> Metric:
        family = HistogramMetricFamily(
            "quorate_http_seconds", "From a request's headers to its answer", labels=["route"]
        )
        for route, latency in list(self._counts.latencies.items()):
            below, buckets = 0, []
            for bound, count in zip([*map(str, SECONDS), "+Inf"], latency.buckets, strict=True):
                below += count
                buckets.append((bound, float(below)))
            family.add_metric([route], buckets, latency.sum_s)
        return family

    def _votes(self) -> Metric:
        family = CounterMetricFamily("quorate_votes", "Votes taken over HTTP, by outcome", labels=["outcome"])
        family.add_metric(["applied"], self._counts.applied)
        family.add_metric(["duplicate"], self._counts.duplicates)
        for reason, count in list(self._counts.rejected.items()):
            family.add_metric([reason], count)
        return family


class StatusNumbers(Collector):
    """The numbers of a status that was taken on the loop."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        families: dict[str, list[tuple[str, float]]] = {}
        for path, number in numbers(self._status):
            families.setdefault(_legal("_".join(("quorate", *path))), []).append((".".join(path), number))
        for name, found in families.items():
            if len(found) == 1:
                yield GaugeMetricFamily(name, f"{found[0][0]} of /status", found[0][1])
            else:
                yield self._told_apart(name, found)

    def _told_apart(self, name: str, found: list[tuple[str, float]]) -> Metric:
        """Numbers of several paths with one legal name, such as those of the nodes n-1 and n.1."""
        family = GaugeMetricFamily(name, "several numbers of /status", labels=["path"])
        for path, number in found:
            family.add_metric([path], number)
        return family


def numbers(status: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Each number in the status, with its path. true and false are 1 and 0."""
    for key, value in status.items():
        if isinstance(value, Mapping):
            yield from numbers(value, (*above, str(key)))
        elif isinstance(value, (int, float)):
            yield (*above, str(key)), float(value)


def _legal(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)


def as_text(counts: Counts, status: Mapping[str, Any]) -> bytes:
    return generate_latest(_registry(counts, status))


def as_json(counts: Counts, status: Mapping[str, Any]) -> dict[str, Any]:
    return {
        family.name: {
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in family.samples
            ],
        }
        for family in _registry(counts, status).collect()
    }


def _registry(counts: Counts, status: Mapping[str, Any]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(CountsCollector(counts))
    registry.register(StatusNumbers(status))
    return registry
