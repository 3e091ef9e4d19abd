"""Two leaders in turn, and what a sink shows: also while the one that was deposed does not know it yet.

The leaderships and the SQLite sink are the real ones. There is no log below them: both nodes apply the same entries.
What the sink shows must be the tally at the version that it names, and its fence must never fall.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from quorate.cluster import entry
from quorate.cluster.flush.deletions import Deletions
from quorate.cluster.flush.deviations import Deviations
from quorate.cluster.flush.imports import Imports
from quorate.cluster.flush.leadership import Leadership, Stopped
from quorate.cluster.loop_bridge import Deposed, LoopBridge
from quorate.cluster.replica import Replica
from quorate.errors import NoLeader
from quorate.sinks.sqlite import SqliteSink
from tests.support.local_replica import LocalReplica

T = TypeVar("T")

POLLS = {"mood": ["happy", "sad"], "lunch": ["soup", "rice", "none"]}
STEPS = 60
TIMEOUT_S = 10.0


class BelievingReplica(LocalReplica):
    """It believes that it leads until it asks a majority."""

    deposed = False

    async def barrier(self) -> int:
        if self.deposed:
            raise NoLeader("another node leads")
        return self.state.version


class DirectBridge:
    """The flush runs on the loop's own thread."""

    stopping = False

    def call_on_loop(self, function: Callable[[], T]) -> T:
        return function()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            coroutine.send(None)
        except StopIteration as done:
            return cast(T, done.value)
        raise AssertionError("nothing here waits")

    def left_s(self, limit_s: float) -> float:
        return limit_s


class TwoLeaders:
    def __init__(self, path: Path, rng: random.Random) -> None:
        self.broken: list[str] = []
        self._path, self._rng, self._term = path, rng, 1
        self._nodes = [BelievingReplica("n1"), BelievingReplica("n2", form=False)]
        self._nodes[1].state.apply(self._nodes[0].formed[0])
        self._sinks = [SqliteSink(path) for _ in self._nodes]
        self._tallies: dict[tuple[str, int], dict[str, int]] = {}  # by poll and version
        self._has_tables = False
        self._fences: dict[str, str] = {}
        self._versions: dict[tuple[str, str], int] = {}  # by poll and fence
        self._leaders: list[Leadership] = []
        for poll, options in POLLS.items():
            self._apply(entry.CreatePoll(poll, "", options, "open", None, False))
        self._leaders.append(self._lead(0))

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()

    def play(self) -> None:
        for _ in range(STEPS):
            step = self._rng.random()
            if step < 0.4:
                poll = self._rng.choice(list(POLLS))
                choice = entry.Choice(self._rng.choice(POLLS[poll]), poll, 1, 0)
                self._apply(entry.CastVotes([choice], plain=[(0, self._rng.randint(1, 9))]))
            elif step < 0.75:
                self._flush(self._leaders[-1])
            elif step < 0.9:
                self._take_over()
            else:  # the one before it does not know yet
                self._flush(self._leaders[max(-2, -len(self._leaders))])

    def _lead(self, number: int) -> Leadership:
        node, sink = self._nodes[number], self._sinks[number]
        node.term, node.leader, node.deposed = self._term, node.node_id, False
        replica = cast(Replica, node)
        return Leadership(
            replica,
            sink,
            cast(LoopBridge, DirectBridge()),
            importer=None,
            imports=Imports(replica, [sink.name]),
            deletions=Deletions(replica, [sink.name]),
            deviations=Deviations(sink.name),
            timeout_s=TIMEOUT_S,
        )

    def _take_over(self) -> None:
        self._nodes[(self._term - 1) % 2].deposed = True
        self._term += 1
        self._leaders.append(self._lead((self._term - 1) % 2))

    def _apply(self, command: entry.Command) -> None:
        data = entry.encode_entry(1_000, [entry.encode_batch([command])])
        applied = [node.state.apply(data) for node in self._nodes]
        for leadership in self._leaders[-2:]:
            leadership.note(applied[0])
        state = self._nodes[0].state
        for poll in POLLS:
            self._tallies[poll, state.version] = dict(state.results(poll) or {})

    def _flush(self, leadership: Leadership) -> None:
        with suppress(Deposed, Stopped, NoLeader):
            leadership.flush()
            self._has_tables = True
        if not self._has_tables:
            return
        with closing(sqlite3.connect(self._path)) as db:
            for poll, version, fence, results in db.execute("select id, version, fence, results from polls"):
                self._look(poll, version, fence, msgspec.json.decode(results))

    def _look(self, poll: str, version: int, fence: str, results: dict[str, int]) -> None:
        before = self._fences.get(poll, "")
        if fence < before:
            self.broken.append(f"the fence of {poll} fell from {before} to {fence}")
        self._fences[poll] = fence
        told = self._versions.setdefault((poll, fence), version)
        if told != version:
            self.broken.append(f"{poll} was shown at {told}, and then at {version}, under the same fence")
        if (right := self._tallies.get((poll, version))) != results:
            self.broken.append(f"{poll} at version {version} shows {results}, and the tally was {right}")


def two_leaders(seed: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="quorate-sink-") as folder:
        leaders = TwoLeaders(Path(folder) / "ballots.db", random.Random(seed))
        try:
            leaders.play()
        finally:
            leaders.close()
    return leaders.broken
