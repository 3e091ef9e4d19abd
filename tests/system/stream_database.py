"""The database at the end of a post's way: SQLite, a file, or MongoDB, whose processes can be killed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo

from tests.services.script import Services, alive
from tests.support.waiting import wait_for

NAME = "ballots"
PROGRAMS = ("mongod", "ferretdb", "postgres")  # of the ways in which scripts/services.sh has one


@dataclass(frozen=True, slots=True)
class Database:
    """`settings` are those of nodes. `results` reads a poll's as any program would; None: as the cluster's file."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    results: Callable[[str], Mapping[str, int] | None] | None = None
    kill: Callable[[], None] | None = None


@contextlib.contextmanager
def sqlite_database(folder: Path) -> Iterator[Database]:
    yield Database("SQLite")


@contextlib.contextmanager
def mongo_database(folder: Path) -> Iterator[Database]:
    services = Services(folder / "services")
    try:
        services.up("mongo")
        url = services.gives()["QUORATE_TEST_MONGO_URL"]
        settings = {"flush.sinks": ["mongo"], "mongo.url": url, "mongo.database": NAME}
        with pymongo.MongoClient[dict[str, Any]](url, timeoutMS=5_000) as client:
            polls = client[NAME]["polls"]

            def results(poll_id: str) -> Mapping[str, int] | None:
                try:
                    return (polls.find_one({"_id": poll_id}) or {}).get("results")
                except pymongo.errors.PyMongoError:
                    return None

            yield Database("MongoDB's protocol", settings, results, lambda: _kill(services))
    finally:
        services("down", "--purge")


def _kill(services: Services) -> None:
    """All of its processes at once, by the records of their pids; then it is started again, on the same data."""
    pids = [services.pid(name) for name in PROGRAMS if (services.folder / "run" / f"{name}.pid").exists()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for("they have ended", lambda: not any(map(alive, pids)))
    services.up("mongo")
