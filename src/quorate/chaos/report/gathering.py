"""Reads a history into a `RunStory`, in two passes with bounded memory.

The first pass takes what the run saw and did, which is little. The second one takes the operations, of which only the
fields are decoded that are counted here. Faults are known by then: a fault's line is written when it has begun, behind
operations that ended meanwhile. A line that does not begin as `HistoryFile` writes it is decoded whole, in both passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import msgspec

from quorate.chaos.history import (
    QUEUE,
    Cast,
    Fault,
    Header,
    HistoryOperation,
    NodeLook,
    Record,
    SinkLook,
    decode_record,
    end_of,
)
from quorate.chaos.report.fault_times import FaultTimes
from quorate.chaos.report.lanes import NodeLanes
from quorate.chaos.report.levels import LevelSeries, SinkSeries
from quorate.chaos.report.story import BUCKETS_MAX, KINDS_MAX, NODES_MAX, RunFacts, RunStory
from quorate.chaos.report.time_line import TimeLineCounts

WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200)
OPERATIONS = tuple(b'{"record":"%b"' % name for name in (b"cast", b"read", b"poll-change", b"open-session", b"digest"))
EVENTS = tuple(
    b'{"record":"%b"' % name for name in (b"history", b"poll", b"node", b"sink", b"fault", b"reached", b"end")
)


class CastTimes(msgspec.Struct, tag="cast", tag_field="record"):
    begun: float
    ended: float | None = None
    outcome: str = "unknown"
    door: str = "http"


class ReadTimes(CastTimes, tag="read", tag_field="record"):
    pass


class ChangeTimes(CastTimes, tag="poll-change", tag_field="record"):
    pass


class OpeningTimes(CastTimes, tag="open-session", tag_field="record"):
    pass


class DigestTimes(CastTimes, tag="digest", tag_field="record"):
    pass


VOTES = (CastTimes, Cast)

_decode_times = msgspec.json.Decoder(CastTimes | ReadTimes | ChangeTimes | OpeningTimes | DigestTimes).decode


def gather(path: Path, seconds: float) -> RunStory:
    """`path` is a history that was judged, `seconds` the end of its last operation. Raises `OSError`."""
    sights = _Sights(path, seconds)
    timeline = TimeLineCounts(sights.bucket_s, sights.span_s)
    for operation in _operations(path):
        ended = operation.ended if operation.ended is not None else sights.span_s
        is_vote = type(operation) in VOTES
        outcome = _outcome(operation)
        timeline.add(operation.begun, operation.ended, outcome, is_vote)
        sights.faults.add(operation.begun, ended, outcome, is_vote)
    by_fault, quiet = sights.faults.by_kind()
    return RunStory(
        sights.facts(),
        timeline.line(),
        sights.faults.spans,
        sights.faults.left_out,
        by_fault,
        sights.faults.kinds_left_out,
        quiet,
        sights.lanes.spans(sights.faults.spans, sights.span_s),
        sights.waiting.levels(),
        sights.sinks.stories(),
    )


def _outcome(operation: CastTimes | HistoryOperation) -> str:
    """A queue never tells what became of a vote: nothing is wrong if that is unknown."""
    is_published = isinstance(operation, CastTimes | Cast) and operation.door == QUEUE
    return "published" if is_published and operation.outcome == "unknown" else operation.outcome


def bucket_width(span_s: float) -> float:
    """A round width of which no more than BUCKETS_MAX cover the span."""
    fitting = (width for width in WIDTHS_S if span_s / width <= BUCKETS_MAX)
    return next(fitting, math.ceil(span_s / BUCKETS_MAX))


class _Sights:
    """What the first pass found."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._header: Header | None = None
        self.span_s = max(_last_moment(path, seconds), 0.1)
        self.bucket_s = bucket_width(self.span_s)
        self.lanes = NodeLanes(NODES_MAX)
        self.waiting = LevelSeries(self.bucket_s, self.span_s)
        self.sinks = SinkSeries(self.bucket_s, self.span_s)
        self._queues: dict[str, int] = {}
        begun: list[Fault] = []
        for record in _events(path):
            match record:
                case Header():
                    self._header = record
                case NodeLook():
                    self._look(record)
                case SinkLook():
                    self.sinks.shown(record)
                case Fault():
                    begun.append(record)
        self.faults = FaultTimes(begun, self.span_s, self._header.faults if self._header else [])

    def _look(self, look: NodeLook) -> None:
        self.lanes.look(look)
        self.sinks.look(look)
        if len(self._queues) < NODES_MAX or look.node in self._queues:
            self._queues[look.node] = look.queue_bytes
            self.waiting.add(look.at, sum(self._queues.values()))

    def facts(self) -> RunFacts:
        header = self._header
        if header is None:
            return RunFacts("", "", 0, 0, {}, 0.0, self.span_s, True, [], [])
        return RunFacts(
            header.command or _likely_command(header),
            header.program,
            header.seed,
            header.began_ms,
            dict(list(header.nodes.items())[:NODES_MAX]),
            header.duration_s,
            self.span_s,
            header.is_ours,
            header.faults[:KINDS_MAX],
            header.asked_to_reach,
        )


def _likely_command(header: Header) -> str:
    """Of a history that does not name it."""
    if not header.is_ours:
        return " ".join(["quorate chaos", *(f"--against {url}" for url in header.nodes.values())])
    return f"quorate chaos --nodes {len(header.nodes)} --duration {header.duration_s:g}s --seed {header.seed}"


def _last_moment(path: Path, seconds: float) -> float:
    """That of the last line if it is the end, and that of the last operation otherwise."""
    end = end_of(path)
    return seconds if end is None else max(seconds, end.at)


def _events(path: Path) -> Iterator[Record]:
    return (decode_record(line) for line in _lines(path) if not line.startswith(OPERATIONS))


def _operations(path: Path) -> Iterator[CastTimes | HistoryOperation]:
    for line in _lines(path):
        if line.startswith(OPERATIONS):
            yield _decode_times(line)
        elif not line.startswith(EVENTS) and isinstance(record := decode_record(line), HistoryOperation):
            yield record


def _lines(path: Path) -> Iterator[bytes]:
    """A torn last line is none."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line
