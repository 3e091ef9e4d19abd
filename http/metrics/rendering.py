"""The metrics of one observation as Prometheus text, or as JSON. Used on a thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from quorate.http.metrics.metric import ShownMetric
from quorate.http.metrics.observation import Observation
from quorate.http.metrics.table import TABLE
from quorate.measures import Histogram


def as_text(observation: Observation) -> bytes:
    return generate_latest(_registry(observation))


def as_json(observation: Observation) -> dict[str, Any]:
    return {
        family.name: {
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in family.samples
            ],
        }
        for family in _registry(observation).collect()
    }


def _registry(observation: Observation) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_NodeCollector(observation))
    ProcessCollector(registry=registry)
    return registry


class _NodeCollector(Collector):
    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def collect(self) -> Iterable[Metric]:
        for metric in TABLE:
            if (family := _family(metric, self._observation)).samples:
                yield family


def _family(metric: ShownMetric, observation: Observation) -> Metric:
    if metric.kind == "histogram":
        histograms = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in metric.take(observation):
            assert isinstance(value, Histogram)
            histograms.add_metric(labels, *_cumulated(value))
        return histograms
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    numbers = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.take(observation):
        assert not isinstance(value, Histogram)
        numbers.add_metric(labels, float(value))
    return numbers


def _cumulated(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """The buckets as Prometheus has them, each with those below it, and the sum."""
    below, buckets = 0, []
    for bound, found in zip([*map(str, histogram.bounds), "+Inf"], histogram.buckets, strict=True):
        below += found
        buckets.append((bound, float(below)))
    return buckets, histogram.sum
