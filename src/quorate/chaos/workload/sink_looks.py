"""Looks at what a sink shows of the run's polls, as any program would that reads the database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pymongo
from pymongo.errors import PyMongoError

from quorate.chaos.history import SinkLook
from quorate.chaos.workload.recorder import Recorder
from quorate.unreadable import UNREADABLE

EVERY_S = 0.5
BUSY_MS = 500
MONGO_MS = 2_000
ROWS = "select id, results, version, fence from polls where id like ? and version is not null and fence is not null"

_results = msgspec.json.Decoder(dict[str, int]).decode


class ShownTally(NamedTuple):
    poll: str
    results: Mapping[str, int]
    version: int
    fence: str


class SinkRows(Protocol):
    @property
    def name(self) -> str: ...

    def rows(self, prefix: str) -> list[ShownTally]:
        """Of polls whose names begin so. Nothing if the sink cannot be read now. It may block for some seconds."""


@dataclass(frozen=True, slots=True)
class SqliteRows:
    """Each look opens the file anew, read-only."""

    path: Path
    name: str = "sqlite"

    def rows(self, prefix: str) -> list[ShownTally]:
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as db:
                db.execute(f"pragma busy_timeout = {BUSY_MS}")
                rows = db.execute(ROWS, (f"{prefix}%",)).fetchall()
            return [ShownTally(poll, _results(results), version, fence) for poll, results, version, fence in rows]
        except (sqlite3.Error, *UNREADABLE):
            return []


class MongoRows:
    name = "mongo"

    def __init__(self, url: str, database: str) -> None:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            url, serverSelectionTimeoutMS=MONGO_MS, socketTimeoutMS=MONGO_MS, connect=False
        )
        self._polls = client[database]["polls"]

    def rows(self, prefix: str) -> list[ShownTally]:
        """A document of version 0 was claimed a moment ago, and is about to be written."""
        ours = {"_id": {"$gte": prefix, "$lt": f"{prefix}\uffff"}, "quorate.version": {"$gt": 0}}
        try:
            found = list(self._polls.find(ours, {"results": 1, "quorate": 1}))
            return [
                ShownTally(
                    raw["_id"],
                    {option: int(total) for option, total in raw["results"].items()},
                    int(raw["quorate"]["version"]),
                    raw["quorate"]["fence"],
                )
                for raw in found
            ]
        except (PyMongoError, KeyError, TypeError, ValueError):
            return []


class SinkWatcher:
    """What did not change since the last look is not written again."""

    def __init__(self, sink: SinkRows, prefix: str, recorder: Recorder) -> None:
        self._sink, self._prefix, self._recorder = sink, f"{prefix}-", recorder
        self._seen: dict[str, tuple[str, int]] = {}  # poll -> fence and version of the last look

    @property
    def name(self) -> str:
        return self._sink.name

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> Mapping[str, Mapping[str, int]]:
        """The results of each poll."""
        at = self._recorder.now()
        found = await asyncio.to_thread(self._sink.rows, self._prefix)
        until = self._recorder.now()
        for poll, results, version, fence in found:
            if self._seen.get(poll) != (fence, version):
                self._seen[poll] = (fence, version)
                self._recorder.note(SinkLook(at, self.name, poll, fence, version, dict(results), until))
        return {tally.poll: tally.results for tally in found}
