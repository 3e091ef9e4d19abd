"""Deleted polls on their way through the flush: each sink marks them, and then the cluster may forget them."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CastVotes, Choice, DeletePoll, FormCluster, SetPollState
from quorate.cluster.flush import deletions, leadership
from quorate.cluster.flush.flusher import Phase
from quorate.cluster.state import tombstones
from quorate.cluster.state.tombstones import Tombstone
from quorate.sinks.sink import Sink
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import apply, elect, poll, votes
from tests.unit.flush.flushing import Gate, PlainSink, flushing, flushing_to, import_status, run, seen
from tests.unit.sinks.sink_stores import SqliteStore


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "CHECK_EVERY_S", 0.0)
    monkeypatch.setattr(tombstones, "KEPT_MS", 0)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SqliteStore]:
    other = SqliteStore(tmp_path / "other.db")
    yield other
    other.close()


async def counted(*, window: int = 1) -> LocalReplica:
    """A cluster in which a tombstone goes after `window` accepted ids."""
    replica = LocalReplica(form=False)
    replica.state.raise_level(entry.encode_raise(1))
    await apply(replica, FormCluster("c1", b"k" * 16, window), poll("mood"), poll("other", ["a", "b"]))
    return replica


async def delete(replica: LocalReplica, id: str = "mood") -> None:
    await apply(replica, SetPollState(id, "closed"), SetPollState(id, "archived"), DeletePoll(id, None))
    assert replica.state.poll(id) is None


async def accept_ids(replica: LocalReplica, *ids: str) -> None:
    choice = Choice("a", None, 1, 7)
    await apply(
        replica, CastVotes([choice], b"".join(id.encode().ljust(8) for id in ids), array("I", [0] * len(ids)).tobytes())
    )


def state_of(sink: Sink, id: str = "mood") -> str | None:
    document = sink.read(timeout_s=10).get(id)
    return None if document is None else document.state


def test_a_deleted_poll_is_marked_and_forgotten_after_the_window(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = await counted(), Gate(store.sink())
        async with flushing(replica, sink):
            await apply(replica, votes("happy", 3))
            await until("it is written", lambda: seen(sink) == {"happy": 3, "sad": 0})
            await delete(replica)
            await until("it is marked", lambda: state_of(sink) == "deleted")
            assert {"happy": 3, "sad": 0} == seen(sink)
            await apply(replica)
            assert replica.state.tombstone("mood") is not None
            await accept_ids(replica, "1")
            await until("it is forgotten", lambda: replica.state.tombstone("mood") is None)

    run(scenario())


def test_it_is_not_forgotten_while_a_sink_is_down(store: SqliteStore, other: SqliteStore) -> None:
    async def scenario() -> None:
        replica, up, down = await counted(), Gate(store.sink(), name="up"), Gate(other.sink(), name="down")
        down.down = "the cable is out"
        async with flushing_to(replica, up, down):
            await delete(replica)
            await until("one has marked it", lambda: state_of(up) is None and not _pending(up))
            await accept_ids(replica, "1", "2")
            await apply(replica)
            await until("the flush goes on", lambda: len(up.writes) > 1)
            assert replica.state.tombstone("mood") is not None
            down.down = None

            async def is_forgotten() -> bool:
                await apply(replica)
                return replica.state.tombstone("mood") is None

            while not await is_forgotten():
                pass

    def _pending(sink: Gate) -> bool:
        return not sink.writes

    run(scenario())


def test_without_a_sink_that_takes_polls_in_age_alone_decides(store: SqliteStore) -> None:
    async def scenario() -> None:
        for sinks in ([], [PlainSink(store.sink())]):
            replica = await counted()
            async with flushing_to(replica, *sinks):
                await delete(replica)
                await accept_ids(replica, "1")
                await until("it is forgotten", partial(_is_forgotten, replica))

    run(scenario())


def _is_forgotten(replica: LocalReplica) -> bool:
    return replica.state.tombstone("mood") is None


def test_each_leadership_marks_again_what_a_restored_sink_has_lost(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = await counted(window=100), Gate(store.sink())
        async with flushing(replica, sink) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            await delete(replica)
            await until("it is marked", lambda: state_of(sink) == "deleted")
            store.edit("mood", state="archived")
            store.run("update creations set deleted = 0")  # a copy from before
            elect(replica, 2)
            await until("it is marked again", lambda: state_of(sink) == "deleted")

    run(scenario())


def test_a_new_poll_takes_over_the_document_and_no_option_of_the_old_one(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = await counted(), Gate(store.sink())
        async with flushing(replica, sink):
            await until("it is written", lambda: seen(sink) is not None)
            sink.down = "for a moment"
            await delete(replica)
            store.edit("mood", options=["happy", "sad", "angry"])
            await apply(replica, poll("mood", ["calm", "happy"]))
            sink.down = None
            await until("the new one is written", lambda: seen(sink) == {"calm": 0, "happy": 0})
            await apply(replica, votes("calm", 2))
            await until("it is counted on", lambda: seen(sink) == {"calm": 2, "happy": 0})
            view = replica.state.poll("mood")
            assert view is not None
            assert ["calm", "happy"] == list(view.options)

    run(scenario())


@pytest.mark.parametrize("is_old", [False, True])
def test_a_hand_made_document_is_not_imported_again(store: SqliteStore, is_old: bool) -> None:
    """It was imported, and its poll was deleted before any flush could fence it."""

    async def scenario() -> None:
        replica = await counted()
        await apply(replica, poll("tea", ["yes", "no"], initial_results=[5, 0], imported=True))
        await delete(replica, "tea")
        store.insert("tea", options=["yes", "no"], results={"yes": 5}, state="open")
        if is_old:
            await accept_ids(replica, "1")
        sink = Gate(store.sink(), refresh_s=0.05)
        async with flushing(replica, sink) as flusher:
            await until("it is marked", lambda: (store.stored("tea") or {})["state"] == "deleted")
            searches = import_status(flusher)["searches"]
            await until("it is searched again", lambda: import_status(flusher)["searches"] > searches)
            await apply(replica)
            assert replica.state.poll("tea") is None

    run(scenario())


def test_very_many_are_marked_over_several_flushes(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        replica, sink = await counted(window=100), Gate(store.sink())
        names = [f"p{number}" for number in range(7)]
        await apply(replica, *(poll(name) for name in names))
        for name in names:
            await delete(replica, name)
        async with flushing(replica, sink) as flusher:
            await until("all are marked", lambda: flusher.caught_up()[0] and 7 == len(_marked(store)))

    monkeypatch.setattr(leadership, "MARKED_A_FLUSH", 3)
    monkeypatch.setattr(leadership, "MARKED_AT_ONCE", 2)
    run(scenario())


def _marked(store: SqliteStore) -> list[str]:
    return [row["id"] for row in store.run("select id from creations where deleted")]


@pytest.mark.parametrize("marked", [0, 3_000])
def test_very_many_cost_the_loop_little_while_a_sink_is_down(marked: int) -> None:
    """They are looked at once a second, on the loop that counts votes."""
    stones = [Tombstone(f"p{number}", number, 0, 0, 0) for number in range(20_000)]
    asked: list[Tombstone] = []
    proposed: list[bytes] = []

    async def scenario() -> None:
        def may_forget(stone: Tombstone) -> bool:
            asked.append(stone)
            return True

        state = SimpleNamespace(tombstones=lambda: stones, may_forget=may_forget)

        def propose(data: bytes) -> asyncio.Future[None]:
            proposed.append(data)
            return asyncio.get_running_loop().create_future()

        replica: Any = SimpleNamespace(is_leader=True, term=1, state=state, now_ms=lambda: 0, propose=propose)
        of_two = deletions.Deletions(replica, ["up", "down"])
        for sink in ("up", "down"):
            of_two.begin(sink)
        of_two.marked("down", {stone.id: stone.creation for stone in stones[:marked]})
        of_two.marked("up", {stone.id: stone.creation for stone in stones})
        await asyncio.sleep(0)

    run(scenario())
    assert len(asked) <= 2 * deletions.LOOKED_AT
    assert bool(marked) == bool(proposed)
