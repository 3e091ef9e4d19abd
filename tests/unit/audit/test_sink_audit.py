"""The leader's comparison of its sinks with the tallies, while votes are counted and flushed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quorate.cluster import entry
from quorate.cluster.audit import sink_audit
from quorate.cluster.audit.answers import AuditedSink
from quorate.cluster.audit.sink_audit import SinkAudits
from quorate.cluster.entry import Command, DeletePoll, RaiseGeneration, SetPollState
from quorate.cluster.flush.flusher import Phase
from quorate.cluster.flush.flushers import Flushers
from quorate.errors import Invalid, NoLeader
from quorate.turns import Turns
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import apply, elect, poll, votes
from tests.unit.flush.flushing import INTERVAL_S, Gate, run
from tests.unit.sinks.sink_stores import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "ballots.db")
    yield store
    store.close()


class Audited:
    def __init__(self, replica: LocalReplica, flushers: Flushers) -> None:
        self.replica, self.flushers = replica, flushers
        self.audits = SinkAudits(replica, flushers, Turns(), self._bring_back)

    async def _bring_back(self) -> None:
        await apply(self.replica, RaiseGeneration("test"))

    async def sink(self, *, repair: bool = False) -> AuditedSink:
        page = await self.audits.page(None, repair=repair)
        assert page.next is None
        return page.sinks[0]

    async def kinds(self, *, repair: bool = False) -> list[tuple[str, bool]]:
        return [(each.kind, each.repaired) for each in (await self.sink(repair=repair)).differences]


@asynccontextmanager
async def audited(store: SqliteStore, *commands: Command, sink: Gate | None = None) -> AsyncIterator[Audited]:
    replica = LocalReplica()
    await apply(replica, *commands)
    flushers = Flushers(replica, [sink or store.sink()], interval_s=INTERVAL_S)
    flushers.start()
    try:
        await until("all is written", lambda: flushers["sqlite"].phase is Phase.FLUSHING)
        yield Audited(replica, flushers)
    finally:
        await flushers.stop()


def test_documents_that_are_right_agree(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with audited(store, poll(), poll("free", [], write_ins=True), votes("happy", 3)) as audit:
            await apply(audit.replica, votes("happy"), votes("new", poll="free"))
            told = await audit.sink()
            assert (2, [], [], None) == (told.documents, told.differences, told.undecided, told.why)

    run(scenario())


def test_altered_numbers_are_told_and_repaired(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with audited(store, poll(), votes("happy", 3)) as audit:
            store.edit("mood", results={"happy": 4, "sad": 0})
            [result, total] = (await audit.sink()).differences
            assert ("result", "happy", 3, 4) == (result.kind, result.option, result.cluster, result.sink)
            assert ("total", "its total is 3 there, and its results there are 4 together") == (total.kind, total.words)
            store.run("delete from digests")
            assert [("result", True), ("total", True)] == await audit.kinds(repair=True)
            stored = store.stored("mood")
            assert stored is not None
            assert {"happy": 3, "sad": 0} == stored["results"]
            assert [] == await audit.kinds()

    run(scenario())


def test_what_the_flush_wrote_over_a_moment_ago_is_told_once(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with audited(store, poll(), votes("happy", 3)) as audit:
            store.edit("mood", results={"happy": 9, "sad": 0})
            await apply(audit.replica, votes("happy"))
            edited = audit.flushers["sqlite"].deviations
            await until("it is written over", lambda: edited.status()["edited"] == 1)
            assert [("edited", True)] == await audit.kinds()
            assert [] == await audit.kinds()

    run(scenario())


def test_a_poll_that_never_rests_is_compared(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with audited(store, poll(), poll("idle", ["a", "b"])) as audit:

            async def vote() -> None:
                while True:
                    await apply(audit.replica, votes("happy"))
                    await asyncio.sleep(0)

            voting = asyncio.create_task(vote())
            for _ in range(5):
                told = await audit.sink()
                assert ([], [], None) == (told.differences, told.undecided, told.why)
            store.edit("idle", results={"a": 1, "b": 0}, total=1)
            assert ["idle"] == [each.poll for each in (await audit.sink()).differences]
            voting.cancel()

    run(scenario())


def test_documents_that_are_gone_or_not_ours(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with audited(store, poll("a", ["x", "y"]), poll("b", ["x", "y"]), poll("c", ["x", "y"])) as audit:
            store.delete("a")
            store.run("update polls set cluster = null, fence = null where id = 'b'")
            store.run("insert into polls select 'odd', title, state, options, results, total, write_ins, closes_at, "
                      "updated, version, cluster, fence from polls where id = 'c'")  # fmt: skip
            found = {each.poll: each.kind for each in (await audit.sink()).differences}
            assert {"a": "missing", "b": "by_hand", "odd": "unknown_poll"} == found
            repaired = {each.poll: each.repaired for each in (await audit.sink(repair=True)).differences}
            assert {"a": True, "b": False, "odd": False} == repaired
            assert store.stored("a") is not None

    run(scenario())


def test_a_poll_that_is_deleted_meanwhile_is_no_difference(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with audited(store, poll(), votes("happy")) as audit:
            audit.replica.state.raise_level(entry.encode_raise(1))
            await apply(audit.replica, poll("gone", ["p", "q"]))
            store.edit("mood", total=77)
            asked = asyncio.create_task(audit.sink())
            await asyncio.sleep(0)
            ends = SetPollState("gone", "closed"), SetPollState("gone", "archived"), DeletePoll("gone", None)
            await apply(audit.replica, *ends)
            assert audit.replica.state.poll("gone") is None
            assert {"mood"} == {each.poll for each in (await asked).differences}

    run(scenario())


def test_a_sink_that_is_down_is_not_told_of(store: SqliteStore) -> None:
    async def scenario() -> None:
        gate = Gate(store.sink())
        async with audited(store, poll(), sink=gate) as audit:
            assert "what stands in sqlite cannot be read" == (await audit.sink()).why
        sink = store.sink()
        replica = LocalReplica()
        await apply(replica, poll())
        flushers = Flushers(replica, [sink], interval_s=INTERVAL_S)
        flushers.start()
        await until("all is written", lambda: flushers["sqlite"].phase is Phase.FLUSHING)
        sink.close()
        told = await Audited(replica, flushers).sink()
        assert told.why is not None
        assert "is closed" in told.why
        await flushers.stop()

    run(scenario())


def test_only_a_leader_that_stays_the_leader_tells(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with audited(store, poll()) as audit:
            look = audit.audits._look

            async def look_late(*arguments: object) -> object:
                found = await look(*arguments)  # type: ignore[arg-type]
                elect(audit.replica, 5)
                return found

            monkeypatch.setattr(audit.audits, "_look", look_late)
            with pytest.raises(NoLeader, match="another leadership"):
                await audit.sink()
            audit.replica.lead("n2")
            with pytest.raises(NoLeader, match="n2 leads: ask it"):
                await audit.sink()

    run(scenario())


def test_many_polls_come_in_pages(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_audit, "POLLS_MAX", 2)
    monkeypatch.setattr(sink_audit, "OPTIONS_MAX", 5)

    async def scenario() -> None:
        big = poll("b", ["1", "2", "3", "4"])
        async with audited(store, *(poll(id, ["x", "y"]) for id in "daec"), big) as audit:
            seen, after = [], None
            while True:
                page = await audit.audits.page(after)
                seen.append((page.polls, page.next))
                if (after := page.next) is None:
                    break
            assert [(1, "a"), (1, "b"), (2, "d"), (1, None)] == seen
            with pytest.raises(Invalid, match="no sink 'mongo'"):
                await audit.audits.page(None, sink="mongo")

    run(scenario())


def test_a_version_is_reached_where_nobody_votes(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with audited(store, poll()) as audit:
            version = audit.replica.state.version + 7
            assert version == await audit.audits.reach(version) == audit.replica.state.version
            with pytest.raises(Invalid, match="farther away"):
                await audit.audits.reach(version + 1_000)

    run(scenario())
