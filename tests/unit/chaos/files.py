"""Histories in files, for the checkers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quorate.chaos.history import HistoryFile, Record
from quorate.chaos.verdict import Verdict, judge


def judged(folder: Path, records: Iterable[Record]) -> Verdict:
    path = folder / "history.ndjson"
    file = HistoryFile(path)
    for record in records:
        file.write(record)
    file.close()
    return judge(path)
