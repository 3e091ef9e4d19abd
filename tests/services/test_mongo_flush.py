"""A leader's flush into a real MongoDB: imports with and without ids, an outage, two leaders, and never a step back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from quorate.cluster.flush import leadership
from quorate.cluster.flush.flusher import Phase
from quorate.cluster.flush.leadership import Obstacle
from tests.services.mongo_store import MongoStore
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import adopt_by, apply, elect, poll, votes
from tests.unit.flush.flushing import Gate, flushing, flushing_to, import_status, run, seen


@pytest.fixture
def store() -> Iterator[MongoStore]:
    store = MongoStore()
    yield store
    store.close()


def test_votes_reach_mongodb_and_polls_put_there_by_hand_are_counted(store: MongoStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), store.sink()
        id = str(store.polls.insert_one({"title": "Tea?", "options": ["node.js", "$cash"]}).inserted_id)
        store.insert("mood", options=["happy", "sad"], results={"happy": 5.0}, owner="ann")
        store.insert("bad", options="none")
        await apply(replica, poll("own", ["a", "b"]))
        async with flushing(replica, Gate(store.sink(), refresh_s=0.2)) as flusher:
            await until("both are imported", lambda: len(replica.state.polls()) == 3)
            await apply(replica, votes("node.js", 3), votes("happy"), votes("b", poll="own"))
            await until("the imported one", lambda: seen(sink, id) == {"node.js": 3, "$cash": 0})
            await until("the one with results", lambda: seen(sink) == {"happy": 6, "sad": 0})
            await until("the cluster's own", lambda: seen(sink, "own") == {"a": 0, "b": 1})
            assert ["bad"] == list(import_status(flusher)["problems"])
            store.insert("later", options=["x", "y"])
            await until("one put there later", lambda: seen(sink, "later") == {"x": 0, "y": 0})
            mood, bad = store.stored("mood"), store.stored("bad")
            assert mood is not None
            assert ("ann", {"_id": "bad", "options": "none"}) == (mood["owner"], bad)

    run(scenario())


def test_a_deleted_document_stays_deleted_and_another_clusters_are_adopted(store: MongoStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), store.sink()
        await apply(replica, poll(), poll("quiet", ["p", "q"]))
        async with flushing_to(replica, store.sink()) as flushers:
            flusher = flushers["mongo"]
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            store.delete("mood")
            await apply(replica, votes("happy"), votes("p"))
            await until("the other goes on", lambda: seen(sink, "quiet") == {"p": 1, "q": 0})
            elect(replica, 2)
            await until("the next leadership", lambda: flusher.phase is Phase.FLUSHING)
            assert None is seen(sink)
            store.polls.update_one({"_id": "quiet"}, {"$set": {"quorate.cluster": "c0"}})
            elect(replica, 3)
            await until("it stops", lambda: flusher.phase.value == Obstacle.FOREIGN.value)
            await flushers.adopt(adopt_by(replica))
            await until(
                "all is written",
                lambda: (seen(sink), seen(sink, "quiet")) == ({"happy": 1, "sad": 0}, {"p": 1, "q": 0}),
            )

    run(scenario())


def test_a_second_counter_is_told_and_a_dropped_database_is_written_again(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "CHECK_EVERY_S", 0.1)

    async def scenario() -> None:
        replica, sink = LocalReplica(), store.sink()
        await apply(replica, poll(), poll("quiet", ["p", "q"]), votes("happy", 3))
        async with flushing(replica, store.sink()) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            store.polls.update_one({"_id": "mood"}, {"$inc": {"results.happy": 1, "total": 1}})
            await until("it is told", lambda: flusher.status()["deviations"]["edited"] == 1)
            await until("it is put right", lambda: seen(sink) == {"happy": 3, "sad": 0})
            store.empty()
            await until("the loss is told", lambda: flusher.status()["deviations"]["lost"] == 1)
            await until("all is written again", lambda: flusher.caught_up()[0] and seen(sink, "quiet") is not None)
            assert {"happy": 3, "sad": 0} == seen(sink)

    run(scenario())


def test_mongodb_never_goes_backwards_while_leaders_are_held_and_replaced(store: MongoStore) -> None:
    watched: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            found = store.stored("mood")
            watched.append(found["results"]["happy"] if found else 0)

    async def scenario() -> None:
        replica = LocalReplica()
        await apply(replica, poll())
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            sink = Gate(store.sink())
            async with flushing(replica, sink) as flusher:
                for term in range(2, 8):
                    await until("it flushes", lambda: flusher.phase is Phase.FLUSHING)
                    await hold_and_replace(replica, sink, Gate(store.sink()), term)
        finally:
            done.set()
            await asyncio.to_thread(watcher.join, 20)
        assert {"happy": 12, "sad": 0} == seen(store.sink())

    run(scenario())
    assert sorted(watched) == watched


async def hold_and_replace(replica: LocalReplica, held: Gate, successor: Gate, term: int) -> None:
    """Hold a leader in the middle of a write, and let go of it when the leader of the next term has written more."""
    holding, made = held.held, len(held.writes)
    held.open.clear()
    await apply(replica, votes("happy"))
    await until("a write is held", lambda: held.held > holding)
    replica.term = term
    async with flushing(replica, successor) as flusher:
        await apply(replica, votes("happy"))
        await until("its successor writes", lambda: flusher.caught_up()[0])
        held.open.set()
        await until("the late write was made", lambda: len(held.writes) > made)
