"""What rises and falls: votes that wait in the nodes, and versions that sinks are behind."""

from __future__ import annotations

import math

from quorate.chaos.history import NodeLook, SinkLook
from quorate.chaos.report.story import SINKS_MAX, Levels, SinkStory

TERM_CHARACTERS = 27  # of a fence, in which the cluster's generation and the leader's term stand
WRITERS_MAX = 500


class LevelSeries:
    """The highest value in each bucket."""

    def __init__(self, bucket_s: float, span_s: float) -> None:
        self._bucket_s = bucket_s
        self._values: list[int | None] = [None] * max(1, math.ceil(span_s / bucket_s))

    def add(self, at: float, value: int) -> None:
        place = min(max(int(at / self._bucket_s), 0), len(self._values) - 1)
        self._values[place] = max(self._values[place] or 0, value)

    def levels(self) -> Levels:
        return Levels(self._bucket_s, self._values)


class SinkSeries:
    """The leader says how far a sink is behind. Where it does not, that is the newest version that any node was seen
    at, less the newest one that the sink shows."""

    def __init__(self, bucket_s: float, span_s: float) -> None:
        self._bucket_s, self._span_s = bucket_s, span_s
        self._behind: dict[str, LevelSeries] = {}
        self._told: set[str] = set()  # sinks of which the leader spoke
        self._versions: dict[str, int] = {}
        self._terms: dict[str, str] = {}
        self._writers: dict[str, list[float]] = {}
        self._newest = 0

    def _series(self, sink: str) -> LevelSeries | None:
        if sink not in self._behind and len(self._behind) < SINKS_MAX:
            self._behind[sink] = LevelSeries(self._bucket_s, self._span_s)
            self._writers[sink] = []
        return self._behind.get(sink)

    def look(self, look: NodeLook) -> None:
        self._newest = max(self._newest, look.version)
        for sink, behind in look.sinks.items():
            if (series := self._series(sink)) is not None:
                self._told.add(sink)
                series.add(look.at, behind)
        for sink, version in self._versions.items():
            if sink not in self._told:
                self._behind[sink].add(look.at, max(0, self._newest - version))

    def shown(self, look: SinkLook) -> None:
        if self._series(look.sink) is None:
            return
        self._versions[look.sink] = max(self._versions.get(look.sink, 0), look.version)
        term, last = look.fence[:TERM_CHARACTERS], self._terms.get(look.sink, "")
        if term > last:
            self._terms[look.sink] = term
            if last and len(self._writers[look.sink]) < WRITERS_MAX:
                self._writers[look.sink].append(look.at)

    def stories(self) -> dict[str, SinkStory]:
        return {sink: SinkStory(series.levels(), self._writers[sink]) for sink, series in self._behind.items()}
