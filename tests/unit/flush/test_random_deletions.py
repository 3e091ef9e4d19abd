"""Polls come and go at random, under few names, while two sinks fail, lose answers, and people change what is there.

Whatever happens: each hand-made document is counted once at the most; in the end every poll stands in every sink as the
cluster has it, unless people put something of their own there; every other document is marked as deleted; and the
cluster has forgotten all deletions. `QUORATE_SEEDS=200` runs more histories, `QUORATE_SEED=17` runs one.
"""

from __future__ import annotations

import asyncio
import os
import random
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CastVotes, Choice, Command, CreatePoll, DeletePoll, FormCluster, Seen, SetPollState
from quorate.cluster.flush import deletions, leadership
from quorate.cluster.fsm import Applied
from quorate.cluster.state import tombstones
from quorate.sinks.sink import SinkError
from tests.support.local_replica import LocalReplica
from tests.unit.flush.commands import apply, elect, poll, votes
from tests.unit.flush.flushing import Gate, flushing_to, run
from tests.unit.sinks.sink_stores import SqliteStore

ONE = os.environ.get("QUORATE_SEED")
SEEDS = [int(ONE)] if ONE else [random.randrange(2**32) for _ in range(int(os.environ.get("QUORATE_SEEDS", "3")))]
STEPS, WAIT_S = 60, 30.0
NAMES, OPTIONS = ["p", "q"], ["a", "b", "c"]


class Losing(Gate):
    """A sink whose next answers may be lost, after it has done what was asked."""

    lost = 0

    def _answer(self, answer: Any) -> Any:
        if self.lost:
            self.lost -= 1
            raise SinkError("the answer was lost")
        return answer

    def write(self, *asked: Any, **within: Any) -> Any:
        return self._answer(super().write(*asked, **within))

    def mark_deleted(self, *asked: Any, **within: Any) -> Any:
        return self._answer(super().mark_deleted(*asked, **within))


class Replica(LocalReplica):
    """It keeps the results with which hand-made documents became polls."""

    def __init__(self) -> None:
        super().__init__(form=False)
        self.imported: list[int] = []

    def commit(self, data: bytes, answer: asyncio.Future[Applied]) -> None:
        super().commit(data, answer)
        for batch, results in zip(entry.decode_entry(data).batches, answer.result().results, strict=True):
            for command, result in zip(entry.decode_batch(batch), results, strict=True):
                if isinstance(command, CreatePoll) and command.imported and getattr(result, "what", "") == "created":
                    self.imported.append(command.initial_results[0])


class History:
    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.stores = [SqliteStore(folder / name) for name in ("one.db", "two.db")]
        self.sinks = [Losing(store.sink(), name=store.path.stem, refresh_s=0.05) for store in self.stores]
        self.replica, self.ids, self.documents = Replica(), 0, 0

    async def run(self) -> None:
        await self._begin()
        steps = (
            *(self._create, self._create, self._vote, self._vote, self._move, self._delete, self._delete, self._anew),
            *(self._insert, self._remove, self._fail, self._lose, self._mend, self._elect, self._age, self._wait),
        )
        async with flushing_to(self.replica, *self.sinks):
            for _ in range(STEPS):
                await self.rng.choice(steps)()
            for sink in self.sinks:
                sink.down, sink.lost = None, 0
            await self._settle()
        assert len(self.replica.imported) == len(set(self.replica.imported))

    async def _begin(self) -> None:
        for sink in self.sinks:
            sink.read(timeout_s=10)
        self.replica.state.raise_level(entry.encode_raise(1))
        await apply(self.replica, FormCluster("c1", b"k" * 16, self.rng.randint(1, 4)), poll("other", ["x", "y"]))

    async def _apply(self, *commands: Command) -> None:
        """As a node that knows all that was applied."""
        newest = self.replica.state.newest_again
        await apply(self.replica, *([Seen(newest)] if newest else []), *commands)

    # ---- what happens -----------------------------------------------------------------------------------------------

    def _name(self) -> str:
        return self.rng.choice(NAMES)

    async def _create(self) -> None:
        await self._apply(poll(self._name(), self.rng.sample(OPTIONS, 2)))

    async def _vote(self) -> None:
        await self._apply(votes(self.rng.choice(OPTIONS), poll=self.rng.choice([None, self._name()])))

    async def _move(self) -> None:
        await self._apply(SetPollState(self._name(), self.rng.choice(("open", "closed", "archived"))))

    async def _delete(self) -> None:
        name = self._name()
        view = self.replica.state.poll(name)
        creation = None if view is None else view.creation
        await self._apply(SetPollState(name, "closed"), SetPollState(name, "archived"), DeletePoll(name, creation))

    async def _anew(self) -> None:
        await self._delete()
        await self._create()

    async def _insert(self) -> None:
        """People put a document of their own there. Its first result tells it from all others."""
        store, name = self.rng.choice(self.stores), self._name()
        self.documents += 1000
        store.delete(name)
        store.insert(name, options=["a", "b"], results={"a": self.documents, "b": 0}, state="open")

    async def _remove(self) -> None:
        self.rng.choice(self.stores).delete(self._name())

    async def _fail(self) -> None:
        self.rng.choice(self.sinks).down = "it is down"

    async def _lose(self) -> None:
        self.rng.choice(self.sinks).lost = self.rng.randint(1, 3)

    async def _mend(self) -> None:
        self.rng.choice(self.sinks).down = None

    async def _elect(self) -> None:
        elect(self.replica, self.replica.term + 1)

    async def _age(self) -> None:
        """Accept an id, by which tombstones grow old."""
        self.ids += 1
        picks = array("I", [0]).tobytes()
        await self._apply(CastVotes([Choice("x", None, 1, 7)], f"{self.ids:08d}".encode(), picks))

    async def _wait(self) -> None:
        await asyncio.sleep(self.rng.choice((0.0, 0.03)))

    # ---- the verdict ------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Until all is as it should be."""
        end_s = asyncio.get_running_loop().time() + WAIT_S
        while wrong := [*self.replica.state.tombstones(), *self._wrong()]:
            assert asyncio.get_running_loop().time() < end_s, wrong
            await self._age()
            await asyncio.sleep(0.02)

    def _wrong(self) -> Iterator[tuple[str, str]]:
        """What a sink has and should not have: the sink, and the name."""
        for store, sink in zip(self.stores, self.sinks, strict=True):
            documents = sink.read(timeout_s=10)
            for name in NAMES:
                stored, view = store.stored(name), self.replica.state.poll(name)
                if stored is None or stored["cluster"] is None:
                    continue  # people took it away, or put their own there
                if view is None and stored["state"] != "deleted":
                    yield sink.name, name
                found = documents.get(name)
                if view is not None and (found is None or found.results != self.replica.state.results(name)):
                    yield sink.name, name


@pytest.mark.parametrize("seed", SEEDS)
def test_polls_come_and_go(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"QUORATE_SEED={seed}")
    monkeypatch.setattr(deletions, "CHECK_EVERY_S", 0.0)
    monkeypatch.setattr(leadership, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(tombstones, "KEPT_MS", 0)
    history = History(seed, tmp_path)
    try:
        run(history.run())
    finally:
        for store in history.stores:
            store.close()
