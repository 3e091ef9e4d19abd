"""GET /metrics: what this node counts, as Prometheus text or JSON.

Two sources: the HTTP room's own `Counts`, and every number in `/status`, each a gauge named by its path there, so that
the two never disagree and no part of a node needs to know Prometheus. Others may register collectors of their own.
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
    """Every number, with its path; true and false are 1 and 0."""
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
