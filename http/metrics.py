"""What GET /metrics shows, as Prometheus text or JSON.

There are two sources: the `Counts` of the HTTP room, and every number in `/status`. Each number of `/status` is a gauge
that is named by its path there. So the two answers never disagree, and the other rooms need not know Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

TEXT_FORMAT = b"text/plain; version=0.0.4; charset=utf-8"


class StatusNumbers(Collector):
    """The numbers of the status that the last scrape took on the loop. A Flask thread renders them."""

    def __init__(self) -> None:
        self._status: Mapping[str, Any] = {}

    def take(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        for path, number in numbers(self._status):
            name = "_".join(("quorate", *path))
            yield GaugeMetricFamily(_legal(name), f"{'.'.join(path)} of /status", number)


def numbers(status: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Each number in the status, with its path. true and false are 1 and 0."""
    for key, value in status.items():
        if isinstance(value, Mapping):
            yield from numbers(value, (*above, str(key)))
        elif isinstance(value, (int, float)):
            yield (*above, str(key)), float(value)


def _legal(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)


def as_text(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)


def as_json(registry: CollectorRegistry) -> dict[str, Any]:
    return {
        family.name: {
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in family.samples
            ],
        }
        for family in registry.collect()
    }
