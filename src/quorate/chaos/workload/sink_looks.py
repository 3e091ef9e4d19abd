"""Looks at what the SQLite sink shows of the run's polls, as any program would that reads the file."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from quorate.chaos.history import SinkLook
from quorate.chaos.workload.recorder import Recorder
from quorate.unreadable import UNREADABLE

EVERY_S = 0.5
BUSY_MS = 500
ROWS = "select id, results, version, fence from polls where id like ? and version is not null and fence is not null"

_results = msgspec.json.Decoder(dict[str, int]).decode


class SqliteWatcher:
    """Each look opens the file anew, read-only. What did not change since the last look is not written again."""

    def __init__(self, path: Path, prefix: str, recorder: Recorder) -> None:
        self._path, self._prefix, self._recorder = path, prefix, recorder
        self._seen: dict[str, tuple[str, int]] = {}  # poll -> fence and version of the last look

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        at = self._recorder.now()
        found = await asyncio.to_thread(self._rows)
        until = self._recorder.now()
        for poll, results, version, fence in found:
            if self._seen.get(poll) != (fence, version):
                self._seen[poll] = (fence, version)
                self._recorder.note(SinkLook(at, "sqlite", poll, fence, version, results, until))

    def _rows(self) -> list[tuple[str, dict[str, int], int, str]]:
        """Nothing if the file cannot be read now."""
        try:
            with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as db:
                db.execute(f"pragma busy_timeout = {BUSY_MS}")
                rows = db.execute(ROWS, (f"{self._prefix}-%",)).fetchall()
            return [(poll, _results(results), version, fence) for poll, results, version, fence in rows]
        except (sqlite3.Error, *UNREADABLE):
            return []
