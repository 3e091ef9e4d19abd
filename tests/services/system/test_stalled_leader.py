"""A leader is stopped in the middle of a flush, replaced, and goes on ten seconds later: that changes nothing."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.mongo_link import MongoLink
from tests.services.system.deployment import Mongo
from tests.support.cluster import Cluster
from tests.support.history import History
from tests.support.voters import Voters
from tests.support.waiting import let_pass, wait_for

LOOK_EVERY_S = 0.01
STALL_S = 10.0
VOTES = 100_000  # more than can be cast meanwhile

pytestmark = pytest.mark.timeout(180)


class Held(MongoLink):
    """The way to MongoDB, on which one flush can be held: taken from who sent it, not yet given to the server."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url += "?directConnection=true"
        self.hold = threading.Event()  # the next flush
        self.held, self.go, self.arrived = threading.Event(), threading.Event(), threading.Event()

    def pass_on(self, data: bytes, goal: socket.socket, *, to_server: bool) -> None:
        holds = to_server and b"\x02update\x00" in data and self.hold.is_set() and not self.held.is_set()
        if holds:
            self.held.set()
            self.go.wait(60)
        goal.sendall(data)
        if holds:
            self.arrived.set()

    def close(self) -> None:
        self.go.set()
        super().close()


class Watcher:
    """Looks at the document every ten milliseconds, as a program that reads MongoDB would."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: list[dict[str, int]] = []

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._done.is_set():
            next_s = time.monotonic() + LOOK_EVERY_S
            if (document := self._mongo.document("mood")) is not None:
                self.seen.append({**document["results"], "version": document["quorate"]["version"]})
            self._done.wait(max(0.0, next_s - time.monotonic()))

    def steps_back(self) -> list[tuple[dict[str, int], dict[str, int]]]:
        return [(a, b) for a, b in itertools.pairwise(self.seen) if any(b[name] < count for name, count in a.items())]


@pytest.fixture
def held(mongo: Mongo) -> Iterator[Held]:
    held = Held(mongo.url)
    yield held
    held.close()


def test_mongodb_never_goes_backwards(mongo: Mongo, held: Held, tmp_path: Path) -> None:
    options = ["happy", "sad", "node.js"]
    history = History({f"v{n}": options[n % 3] for n in range(VOTES)})
    settings = {**mongo.settings, "mongo.url": held.url, "flush.timeout_ms": 30_000}
    with Cluster(tmp_path, settings=settings) as cluster, Watcher(mongo) as watcher:
        with cluster.client() as client:
            client.create_poll("mood", options)
        voters = Voters(cluster.urls, history, list(history.votes), clients=4)
        voters.start()
        cluster.wait_for("it is flushed", lambda: sum(mongo.results().values()) > 100)
        stalled = cluster.leader()
        held.hold.set()
        cluster.wait_for("a flush is on its way", held.held.is_set)
        stalled.pause()
        version = watcher.seen[-1]["version"]
        successor = cluster.leader(other_than=stalled)
        cluster.wait_for("the successor flushes", lambda: watcher.seen[-1]["version"] > version + 100)
        let_pass(STALL_S, because="the stall that the promise is about")
        held.go.set()
        cluster.wait_for("the late flush arrives", held.arrived.is_set)
        stalled.resume()
        cluster.wait_for("it follows", lambda: (stalled.get("/leader") or {}).get("id") == successor.id)
        voters.stop()
        wait_for("all agree", lambda: cluster.results("mood"), seen=cluster.seen)
        shown = cluster.results("mood")
        assert shown is not None
        cluster.wait_for("MongoDB has the last of it", lambda: mongo.results() == shown["results"])
        assert [] == history.problems(shown["results"])
    assert [] == watcher.steps_back()
    assert len(watcher.seen) > 100
