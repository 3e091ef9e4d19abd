"""A stream's numbers for Prometheus. Labels are bounded: the first options that were mentioned, and a few reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quorate.ingest.social.counts import StreamNumbers
from quorate.ingest.social.stream_status import StreamStatus

OPTIONS_LABELLED = 200  # the first that were mentioned, so that none changes its name; all others together have none

COUNTERS: tuple[tuple[str, str, Callable[[StreamNumbers], int]], ...] = (
    ("posts", "Posts read", lambda n: n.posts),
    ("posts_matched", "Posts that mention an option", lambda n: n.matched_posts),
    ("posts_confirmed", "Posts whose votes are confirmed, if they have any", lambda n: n.confirmed_posts),
    ("posts_passed_over", "Posts that could not be looked through: a bug", lambda n: sum(n.passed_over.values())),
    ("votes", "Votes made of posts", lambda n: n.votes),
    ("votes_confirmed", "Votes that the cluster or NSQ has taken", lambda n: n.confirmed_votes),
    ("votes_duplicate", "Votes that the cluster had counted before", lambda n: n.duplicates),
    ("connects", "Connections made to the network", lambda n: n.connects),
    ("losses", "Gaps in what was read", lambda n: n.losses),
)


def as_text(status: StreamStatus) -> bytes:
    registry = CollectorRegistry()
    registry.register(_StreamCollector(status))
    return generate_latest(registry)


class _StreamCollector(Collector):
    def __init__(self, status: StreamStatus) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        numbers, report = self._status.counts.numbers, self._status.report()
        for name, text, number_of in COUNTERS:
            yield CounterMetricFamily(f"quorate_stream_{name}", text, number_of(numbers))
        yield _by_word("votes_rejected", "Votes that the cluster rejected", "reason", numbers.rejected)
        yield _by_word("disconnects", "Connections that ended", "reason", numbers.disconnects)
        yield _by_option(numbers)
        gauges = {
            "connected": ("Whether there is a connection to the network", report["connected"]),
            "resting": ("Whether there is none on purpose", bool(report["rests"])),
            "posts_under_way": ("Posts read and not confirmed yet", report["posts"]["under_way"]),
            "lag_seconds": ("Age of the newest confirmed post", report["lag_s"]),
            "position_age_seconds": ("Since the position was written", report["positions"]["age_s"]),
            "position_kept": ("Whether the position can be written", not report["positions"]["trouble"]),
            "votes_one_copy": ("Votes that only one of two nsqds has", report["votes"]["only_one_copy"]),
            "votes_taken": ("Whether the cluster or NSQ takes votes", not report["votes"]["trouble"]),
            "options": ("Options that are looked for", report["polls"]["options"]),
            "options_read": ("Whether the options could be read the last time", not report["polls"]["trouble"]),
            **{name: ("A number of this network", number) for name, number in self._status.figures().items()},
        }
        for name, (text, value) in gauges.items():
            if value is not None:
                yield GaugeMetricFamily(f"quorate_stream_{name}", text, float(value))


def _by_word(name: str, text: str, label: str, found: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"quorate_stream_{name}", text, labels=[label])
    for word, number in found.items():
        family.add_metric([word], number)
    return family


def _by_option(numbers: StreamNumbers) -> Metric:
    family = CounterMetricFamily("quorate_stream_option_votes", "Votes made", labels=["poll", "option"])
    pairs = list(numbers.by_option.items())
    for (poll, option), votes in pairs[:OPTIONS_LABELLED]:
        family.add_metric([poll, option], votes)
    if rest := sum(votes for _, votes in pairs[OPTIONS_LABELLED:]):
        family.add_metric(["", ""], rest)
    return family
