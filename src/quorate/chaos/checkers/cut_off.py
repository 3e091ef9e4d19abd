"""What can be judged of a history that was cut off: all that had ended before the first operation that may be missing.

A line is written when its operation has ended. So what was on its way when the writing ended is in no line, though it
may have had its effect, and an answer in the file may show that. Operations are numbered in the order in which they
began: none that is missing began before the one whose number is the last of those that are there without a gap. What
had ended by then can show nothing of what is missing. All that ended later is taken for unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from quorate.chaos.history import (
    Cast,
    HistoryOperation,
    NodeDigest,
    OpenSession,
    PollChange,
    Read,
    Record,
    SinkLook,
    read_lines,
)

NOTHING = float("-inf")
AHEAD_MAX = 100_000  # operations that are remembered beyond a gap


def whole_until(path: Path) -> float:
    """The moment before which no operation that is missing began. Raises as `read_lines`."""
    moment, following = NOTHING, 1
    ahead: dict[int, float] = {}  # number -> begun
    for _, record in read_lines(path):
        if isinstance(record, HistoryOperation) and record.number >= following:
            ahead[record.number] = record.begun
            while following in ahead:
                moment = ahead.pop(following)
                following += 1
            if len(ahead) > AHEAD_MAX:
                break
    return moment


def as_known_at(record: Record, moment: float) -> Iterator[Record]:
    """What the record says of the time before that moment."""
    match record:
        case Read() | NodeDigest():
            if record.ended is not None and record.ended < moment:
                yield record
        case SinkLook():
            if max(record.at, record.until) < moment:
                yield record
        case Cast() | PollChange() | OpenSession():
            yield record if record.outcome == "fail" or _has_ended(record, moment) else _without_answer(record)
        case _:
            yield record


def _has_ended(operation: HistoryOperation, moment: float) -> bool:
    return operation.ended is not None and operation.ended < moment


def _without_answer(operation: Cast | PollChange | OpenSession) -> Record:
    unknown = msgspec.structs.replace(operation, outcome="unknown", version=None)
    if isinstance(unknown, Cast):
        unknown.applied, unknown.duplicates, unknown.counted, unknown.rejected = 0, 0, 0, []
    return unknown
