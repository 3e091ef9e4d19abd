"""All that the page of a run shows beside the verdict. `--json` has the same under `report`.

Times are seconds since the run began. Everything is bounded, however long the history is.
"""

from __future__ import annotations

import msgspec

BUCKETS_MAX = 300  # of the time line
FAULTS_MAX = 2_000  # that are kept; the others are only counted
KINDS_MAX = 100  # of faults
VICTIMS_MAX = 16  # of a fault
SITUATIONS_MAX = 500
NAME_MAX, WORDS_MAX = 256, 1_000  # characters
NODES_MAX = 16  # lanes
SINKS_MAX = 8
SPANS_MAX = 400  # in a lane


class RunFacts(msgspec.Struct):
    command: str
    program: str  # the version that made the run
    seed: int
    began_ms: int  # Unix time
    nodes: dict[str, str]  # id -> URL
    planned_s: float  # how long things were to break
    span_s: float  # until the last line
    is_ours: bool
    asked_kinds: list[str]  # kinds of faults
    asked_to_reach: list[str]


class TimeLine(msgspec.Struct):
    """A number for each bucket of time. Answers count when they came; latencies belong to when a request was sent."""

    bucket_s: float
    operations: list[int]
    acknowledged: list[int]  # requests of votes
    unknown: list[int]
    p50_ms: list[float | None]  # of acknowledged requests of votes
    p99_ms: list[float | None]


class FaultSpan(msgspec.Struct):
    number: int
    name: str
    begun: float
    ended: float | None  # None: it was active at the end of the history
    victims: list[str]
    words: str


class KindFigures(msgspec.Struct):
    """Operations that were under way while a fault of this kind was active. One may count for several kinds."""

    name: str
    faults: int
    operations: int = 0
    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0  # surely without effect


class NodeSpan(msgspec.Struct, array_like=True):
    begun: float
    ended: float
    state: str
    cut_off: bool
    harmed: bool


class Levels(msgspec.Struct):
    """The highest value in each bucket of time, where one was seen."""

    bucket_s: float
    values: list[int | None]


class SinkStory(msgspec.Struct):
    behind: Levels  # versions
    writers: list[float]  # when a document was seen first under the fence of another term


class RunStory(msgspec.Struct):
    run: RunFacts
    timeline: TimeLine
    faults: list[FaultSpan]
    faults_left_out: int
    by_fault: list[KindFigures]
    kinds_left_out: int
    quiet: KindFigures  # what was under way while nothing was broken
    nodes: dict[str, list[NodeSpan]]
    waiting_bytes: Levels  # votes in the nodes' queues
    sinks: dict[str, SinkStory]
