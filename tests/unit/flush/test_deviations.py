"""What stands in a sink and is not what was written there is told once, and put right."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster.entry import CreatePoll
from quorate.cluster.flush import deviations as telling
from quorate.cluster.flush import leadership, mirror
from quorate.cluster.flush.flusher import Flusher, Phase
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import adopt_by, apply, elect, poll, votes
from tests.unit.flush.flushing import Gate, flushed, flushing, flushing_to, import_status, run, seen
from tests.unit.sinks.sink_stores import SqliteStore


@pytest.fixture(autouse=True)
def checks_are_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "CHECK_EVERY_S", 0.1)


def deviations(flusher: Flusher) -> dict[str, Any]:
    return dict(flusher.status()["deviations"])


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == telling.__name__]


def twenty_polls() -> list[CreatePoll]:
    return [poll(f"p{number:02d}", [f"a{number}", f"b{number}"]) for number in range(20)]


def test_an_edit_is_told_once_and_written_over_though_nobody_votes(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with flushed(store, poll(), votes("happy", 3), poll("tea", ["yes", "no"])) as (_, sink, flusher):
            for edit in range(1, 4):
                store.edit("mood", results={"happy": 1_000, "sad": 0})
                await until("it is put right", lambda: seen(sink) == {"happy": 3, "sad": 0})
                await until("it is counted", lambda edit=edit: deviations(flusher)["edited"] == edit)  # type: ignore[misc]
            assert (["mood"], 0) == (deviations(flusher)["polls"], deviations(flusher)["lost"])
            assert "`results` is output" in deviations(flusher)["last"]
            await until("the flush is noted", lambda: flusher.status()["documents"]["edited"] == 3)

    with caplog.at_level(logging.WARNING):
        run(scenario())
    (line,) = told(caplog)
    assert "'mood' in sqlite was changed by hand" in line


def test_an_edit_is_told_again_after_an_hour(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "TOLD_FOR_S", 0.0)
    found = telling.Deviations("sqlite")
    found.edited("mood")
    found.edited("mood")
    assert 2 == len(told(caplog))


def test_how_long_ago_the_last_one_was_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page said of an edit that was put right an hour ago that it was not as it should be, for as long as the
    leader ran."""
    now_s = 1_000.0
    monkeypatch.setattr(f"{telling.__name__}.time.monotonic", lambda: now_s)
    found = telling.Deviations("sqlite")
    assert found.status()["last_age_s"] is None
    for happen in (found.edited, found.edited, found.deleted, found.lost):
        happen("mood")
        assert 0.0 == found.status()["last_age_s"]
        now_s += 90.0
        assert 90.0 == found.status()["last_age_s"]


def test_an_edit_before_a_change_of_leaders_is_told_by_the_next_one(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with flushed(store, poll(), votes("happy", 3)) as (replica, _, _):
            pass
        store.edit("mood", title="Edited while the cluster was down")
        elect(replica, 5)
        async with flushing(replica, Gate(store.sink())) as flusher:
            await until("it is told", lambda: deviations(flusher)["edited"] == 1)
            await until("it is put right", lambda: store.sink().read(timeout_s=10)["mood"].title == "mood")

    run(scenario())
    assert 1 == len(told(caplog))


def test_what_a_leader_writes_over_anothers_document_is_no_edit(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        await apply(replica, poll())
        for term in range(2, 6):
            elect(replica, term)
            async with flushing(replica, Gate(store.sink())) as flusher:
                await apply(replica, votes("happy"))
                await until("it flushes", lambda: flusher.caught_up()[0] and seen(store.sink()) is not None)
                assert (0, 0) == (deviations(flusher)["edited"], deviations(flusher)["lost"])

    run(scenario())
    assert [] == told(caplog)


def test_a_dropped_database_is_noticed_though_nobody_votes_and_everything_is_written_again(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "CHECKED_MAX", 3)
    monkeypatch.setattr(mirror, "VALUES_PER_TURN", 60)  # a few polls a write: the first one tells of all

    async def scenario() -> None:
        async with flushed(store, *twenty_polls()) as (_, sink, flusher):
            sink.open.clear()
            store.empty()
            await until("a write begins", lambda: sink.held > 0)
            sink.open.set()
            await until("all is written again", lambda: len(sink.read(timeout_s=10)) == 20)
            await until("it is right again", lambda: flusher.caught_up()[0])
            assert 1 == deviations(flusher)["lost"]
            assert "does not bring older ones back" in deviations(flusher)["last"]

    run(scenario())
    assert 1 == len(told(caplog))


def test_a_sink_that_lost_everything_is_not_caught_up_before_all_is_written_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "VALUES_PER_TURN", 60)

    async def scenario() -> None:
        async with flushed(store, *twenty_polls(), interval_s=3600) as (replica, sink, flusher):
            assert flusher.caught_up()[0]
            held = len(sink.writes)
            write = sink.sink.write

            def second_write_waits(*arguments: Any, **more: Any) -> Any:
                outcomes = write(*arguments, **more)
                if len(sink.writes) == held:
                    sink.open.clear()  # the write after this one waits
                return outcomes

            sink.sink.write = second_write_waits  # type: ignore[method-assign]  # the moment in the middle of the repair
            store.empty()
            await apply(replica, votes("a0"))
            flusher._wake.set()
            await until("the second write waits", lambda: sink.held > 0)
            well, why = flusher.caught_up()
            assert (False, True) == (well, "lost what was written" in why)
            sink.open.set()
            await until("it is right again", lambda: flusher.caught_up()[0])
            assert 20 == len(sink.read(timeout_s=10))

    run(scenario())


def test_an_older_copy_that_is_put_back_is_written_over(store: SqliteStore, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with flushed(store, poll(), votes("happy", 3), poll("tea", ["yes", "no"])) as (replica, sink, flusher):
            copy = store.run("select * from polls")
            await apply(replica, votes("happy", 4), votes("yes"))
            await until(
                "it is ahead", lambda: (seen(sink) or {}).get("happy") == 7 and seen(sink, "tea") == {"yes": 1, "no": 0}
            )
            digests = store.run("select * from digests")
            for row in copy:
                store.run(
                    "update polls set results = ?, fence = ? where id = ?", [row["results"], row["fence"], row["id"]]
                )
            assert digests
            await until(
                "both are right",
                lambda: seen(sink) == {"happy": 7, "sad": 0} and seen(sink, "tea") == {"yes": 1, "no": 0},
            )
            await until("it is told", lambda: deviations(flusher)["lost"] >= 1)
            await until("it is caught up", lambda: flusher.caught_up()[0])

    run(scenario())


def test_a_document_that_is_deleted_stays_deleted_and_is_no_loss(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with flushed(store, poll(), poll("tea", ["yes", "no"])) as (_, sink, flusher):
            store.delete("mood")
            await until("it is noticed", lambda: flusher.status()["documents"]["gone"] == 1)
            flushes = flusher.status()["flushes"]
            await until("more flushes", lambda: flusher.status()["flushes"] > flushes + 20)
            found = deviations(flusher)
            assert (None, 0, 0, 1) == (seen(sink), found["edited"], found["lost"], found["deleted"])
            assert "`quorate sink adopt` writes all polls again" in found["last"]

    run(scenario())


def test_a_deleted_document_that_is_put_back_from_an_older_copy_is_written_over(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with flushed(store, poll(), votes("happy", 3)) as (replica, sink, flusher):
            (copy,) = store.run("select * from polls")
            await apply(replica, votes("happy", 4))
            await until("it is ahead", lambda: seen(sink) == {"happy": 7, "sad": 0})
            store.delete("mood")
            await until("it is noticed", lambda: deviations(flusher)["deleted"] == 1)
            store.run(f"insert into polls values ({', '.join('?' * len(copy))})", list(copy))
            await until("it is right again", lambda: seen(sink) == {"happy": 7, "sad": 0})
            await apply(replica, votes("happy", 1))
            await until("it is kept up", lambda: seen(sink) == {"happy": 8, "sad": 0})

    run(scenario())


def test_a_deleted_document_is_told_and_counted_once_however_often_the_sink_fails(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll(), poll("tea", ["yes", "no"]))
        async with flushing_to(replica, sink) as flushers:
            flusher = flushers["sqlite"]
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            store.delete("mood")
            for _ in range(3):
                await until("it is noticed", lambda: deviations(flusher)["deleted"] == 1)
                sink.down = "the cable is out"
                await until("it fails", lambda: flusher.phase is Phase.RETRYING)
                sink.down, gone = None, flusher.status()["documents"]["gone"]
                await until("it is found again", lambda gone=gone: flusher.status()["documents"]["gone"] > gone)  # type: ignore[misc]
            assert 1 == deviations(flusher)["deleted"]
            await flushers.adopt(adopt_by(replica))
            await until("it is back", lambda: seen(sink) == {"happy": 0, "sad": 0})
            store.delete("mood")
            await until("it is told again", lambda: deviations(flusher)["deleted"] == 2)

    with caplog.at_level(logging.INFO):
        run(scenario())
    assert 2 == len(told(caplog))


def test_a_document_that_took_the_place_of_ours_is_told_what_to_do_about_it(store: SqliteStore) -> None:
    """As after an import of a dump that has no fences. `sink adopt` does what is said once the document is moved."""

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll(), votes("happy", 3))
        async with flushing_to(replica, sink) as flushers:
            flusher = flushers["sqlite"]
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            store.edit("mood", cluster=None, fence=None, results={"happy": 1, "sad": 0})
            await until("it is told", lambda: "mood" in import_status(flusher)["problems"])
            assert "took the place of the cluster's own" in import_status(flusher)["problems"]["mood"]
            store.run("update polls set id = 'other' where id = 'mood'")
            await flushers.adopt(adopt_by(replica))
            await until("ours is back", lambda: seen(sink) == {"happy": 3, "sad": 0})
            await until("the other is a poll of its own", lambda: seen(sink, "other") == {"happy": 1, "sad": 0})

    run(scenario())
