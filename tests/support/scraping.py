"""GET /metrics as numbers, with what must be true of any two scrapes of a node."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, ...], float]  # (name, the labels' values in the order of the labels' names)


def samples_of(text: str) -> Samples:
    return {(s.name, *s.labels.values()): s.value for family in families_of(text) for s in family.samples}


def families_of(text: str) -> Iterable[Metric]:
    return text_string_to_metric_families(text)


def fallen(before: str, after: str) -> list[tuple[str, ...]]:
    """What only grows, and fell or is gone. Both scrapes are of one process."""
    grows = {
        (s.name, *s.labels.values()): s.value
        for family in families_of(before)
        if family.type in ("counter", "histogram")
        for s in family.samples
    }
    now = samples_of(after)
    return [key for key, value in grows.items() if now.get(key, -1.0) < value]


def crooked(text: str) -> list[str]:
    """Histograms whose buckets do not hold those below them, or not all at the end."""
    found = []
    for family in families_of(text):
        if family.type != "histogram":
            continue
        rows: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        counts = {}
        for s in family.samples:
            labels = tuple(value for name, value in s.labels.items() if name != "le")
            if s.name.endswith("_bucket"):
                rows.setdefault(labels, []).append((float(s.labels["le"]), s.value))
            elif s.name.endswith("_count"):
                counts[labels] = s.value
        for labels, buckets in rows.items():
            values = [value for _, value in buckets]
            if buckets != sorted(buckets) or values != sorted(values) or values[-1] != counts[labels]:
                found.append(f"{family.name}{labels}: {buckets}, count {counts[labels]}")
    return found
