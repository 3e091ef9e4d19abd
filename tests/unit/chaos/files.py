"""Histories in files, for the checkers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quorate.chaos.history import Header, HistoryFile, HistoryOperation, PollPlan, Record
from quorate.chaos.verdict import Verdict, judge


def judged(folder: Path, records: Iterable[Record]) -> Verdict:
    path = folder / "history.ndjson"
    file = HistoryFile(path)
    for record in records:
        file.write(record)
    file.close()
    return judge(path)


def recorded_at(record: Record) -> float:
    if isinstance(record, HistoryOperation):
        return record.begun if record.ended is None else record.ended
    return (
        -1.0 if isinstance(record, Header | PollPlan) else getattr(record, "until", 0.0) or getattr(record, "at", 0.0)
    )
