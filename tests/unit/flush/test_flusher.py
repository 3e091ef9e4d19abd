"""The leader's flush, with a real state machine and a real SQLite file."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from functools import partial

import pytest

from quorate.cluster.entry import SetPollState
from quorate.cluster.flush.flusher import Phase
from quorate.errors import NoLeader
from quorate.sinks.sink import Fence, WriteOutcome
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import apply, elect, form_cluster_entry, poll, votes
from tests.unit.flush.flushing import Gate, flushed, flushing, run, seen, shows
from tests.unit.sinks.sink_stores import SqliteStore


def test_the_leader_writes_what_was_counted(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), store.sink()
        await apply(replica, poll(title="How are you?"), votes("happy", 3))
        async with flushing(replica, store.sink()) as flusher:
            await until("all is written", lambda: seen(sink) == {"happy": 3, "sad": 0})
            await apply(replica, votes("happy"), votes("sad", 2, poll="mood"), SetPollState("mood", "closed"))
            await until("the rest is written", lambda: seen(sink) == {"happy": 4, "sad": 2})
            document = sink.read(timeout_s=10)["mood"]
            assert ("How are you?", "closed", replica.state.version) == (
                document.title,
                document.state,
                document.version,
            )
            assert 3 == replica.state.version
            await until("it knows", lambda: flusher.caught_up() == (True, "version 3 is in sqlite"))
            assert 0 == flusher.status()["lag_versions"]

    run(scenario())


def test_a_follower_writes_nothing(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll(), votes("happy"))
        replica.lead("n2")
        async with flushing(replica, sink) as flusher:
            await asyncio.sleep(0.1)  # five intervals in which nothing may happen
            assert (Phase.IDLE, []) == (flusher.phase, sink.writes)
            assert (True, "the leader flushes") == flusher.caught_up()
            replica.lead("n1")
            await until("it leads and writes", lambda: seen(sink) == {"happy": 1, "sad": 0})

    run(scenario())


def test_only_what_changed_is_written_again(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll("a", ["x", "y"]), poll("b", ["y", "z"]), poll("c", ["z", "w"]))
        async with flushing(replica, sink) as flusher:
            await until("the first flush", lambda: flusher.last_flush is not None)
            assert {"a", "b", "c"} == {id for _, outcomes in sink.writes for id in outcomes}
            sink.writes.clear()
            await apply(replica, votes("y"))
            await until(
                "the second", lambda: seen(sink, "b") == {"y": 1, "z": 0} and not flusher.status()["pending_polls"]
            )
            assert {"a", "b"} == {id for _, outcomes in sink.writes for id in outcomes}
            sink.writes.clear()
            flushes = flusher.status()["flushes"]
            await until("three more", lambda: flusher.status()["flushes"] > flushes + 3)
            assert [] == sink.writes, "nothing new: no write"

    run(scenario())


def test_what_changed_is_pending_from_then_until_it_is_written(store: SqliteStore) -> None:
    """Also in the moment when the names were taken and no poll is known to be behind yet."""

    async def scenario() -> None:
        pending = list[bool]()
        async with flushed(store, poll()) as (replica, sink, flusher):
            leadership = flusher._leadership
            assert leadership is not None
            holders = leadership._holders

            def note_and_find(options: Sequence[str]) -> list[Sequence[str]]:
                pending.append(leadership.pending)
                return holders(options)

            leadership._holders = note_and_find  # type: ignore[method-assign]  # the moment in between
            await apply(replica, votes("happy"))
            await until("all is written", lambda: not leadership.pending)
            assert ([True], {"happy": 1, "sad": 0}) == (pending, seen(sink))

    run(scenario())


def test_write_ins_reach_the_sink(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), store.sink()
        await apply(replica, poll("free", [], write_ins=True))
        async with flushing(replica, store.sink()):
            for count, option in enumerate(["a.b", "$c", "💚"], 1):
                await apply(replica, votes(option, count, poll="free"))
                await until(option, partial(shows, sink, "free", option, count))
            assert ["a.b", "$c", "💚"] == sink.read(timeout_s=10)["free"].options

    run(scenario())


# ---- outages ---------------------------------------------------------------------------------------------------------


def test_an_outage_is_visible_and_the_first_flush_after_it_is_complete(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with flushed(store, poll(), poll("quiet", ["p", "q"]), votes("p", 5)) as (replica, sink, flusher):
            sink.down = "the cable is out"
            await apply(replica, votes("happy", 7))
            await until("it is noticed", lambda: flusher.phase is Phase.RETRYING)
            assert (False, "the cable is out") == flusher.caught_up()
            for _ in range(20):
                await apply(replica, votes("sad"))
            status = flusher.status()
            assert ("the cable is out", False) == (status["last_error"], status["caught_up"])
            assert (status["lag_versions"] or 0) >= 20
            assert status["pending_polls"] >= 1
            assert status["failures"] >= 1

            store.empty()  # it came back as an empty one
            sink.down = None
            await until("caught up", lambda: flusher.caught_up()[0])
            assert {"happy": 7, "sad": 20} == seen(sink)
            assert {"p": 5, "q": 0} == seen(sink, "quiet"), "also what did not change"
            assert None is flusher.status()["last_error"]

    run(scenario())


def test_an_outage_is_logged_once(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        sink.down = "the cable is out"
        with caplog.at_level(logging.INFO):
            async with flushing(replica, sink) as flusher:
                await until("five attempts", lambda: flusher.status()["failures"] >= 5)
                sink.down = None
                await until("it goes on", lambda: flusher.phase is Phase.FLUSHING)

    run(scenario())
    lines = [record.message for record in caplog.records if record.name.startswith("quorate.cluster")]
    assert [
        "term 1: no flush, and counting goes on: the cable is out",
        "all tallies up to version 1 are in sqlite",
    ] == lines


def test_counting_goes_on_while_a_write_hangs(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll())
        async with flushing(replica, sink):
            sink.open.clear()
            await apply(replica, votes("happy"))
            await until("a write hangs", lambda: sink.held)
            for _ in range(100):
                await asyncio.wait_for(apply(replica, votes("happy")), 10)
            sink.open.set()
            await until("all is written", lambda: seen(sink) == {"happy": 101, "sad": 0})

    run(scenario())


# ---- leaders come and go ---------------------------------------------------------------------------------------------


def test_a_new_leader_confirms_that_it_leads_and_writes_everything_once(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll(), poll("quiet", ["p", "q"]))
        confirmed = asyncio.Event()
        barrier = replica.barrier

        async def slow_barrier() -> int:
            await confirmed.wait()
            return await barrier()

        replica.barrier = slow_barrier  # type: ignore[method-assign]  # a barrier that waits to be let through
        async with flushing(replica, sink) as flusher:
            await asyncio.sleep(0.1)  # five intervals in which nothing may be written
            assert (Phase.STARTING, []) == (flusher.phase, sink.writes)
            confirmed.set()
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            elect(replica, 2)
            await until("the second leadership's", lambda: any(fence.term == 2 for fence, _ in sink.writes))
            assert {"mood", "quiet"} == {id for fence, outcomes in sink.writes if fence.term == 2 for id in outcomes}

    run(scenario())


def test_a_deposed_leaders_late_write_changes_nothing(store: SqliteStore) -> None:
    """Held in the middle of a flush, replaced, let go: as SIGSTOP does it to a process."""

    async def scenario() -> None:
        old, new = LocalReplica("n1"), LocalReplica("n2", form=False)
        old.on_applied(lambda applied: _follow(new, old))
        new.state.apply(form_cluster_entry(old))
        old_sink, new_sink = Gate(store.sink()), Gate(store.sink())
        await apply(old, poll())
        new.lead("n1")
        async with flushing(old, old_sink) as late, flushing(new, new_sink):
            await until("the old leader flushes", lambda: late.phase is Phase.FLUSHING)
            old_sink.open.clear()
            await apply(old, votes("happy", 5))
            await until("its write hangs", lambda: old_sink.held)
            await apply(old, votes("happy", 5))
            new.term = 2
            new.lead("n2")
            await until("the new one writes", lambda: seen(new_sink) == {"happy": 10, "sad": 0})
            old_sink.open.set()
            await until(
                "the late write arrives",
                lambda: old_sink.writes and old_sink.writes[-1][1]["mood"] is WriteOutcome.NEWER,
            )
            await until("it is counted", lambda: late.status()["documents"]["newer"] == 1)
            assert {"happy": 10, "sad": 0} == seen(new_sink)
            old.lead("n2")
            written = len(old_sink.writes)
            await apply(new, votes("sad"))
            await until("the new one goes on", lambda: seen(new_sink) == {"happy": 10, "sad": 1})
            assert (Phase.IDLE, written) == (late.phase, len(old_sink.writes))

    run(scenario())


def _follow(follower: LocalReplica, leader: LocalReplica) -> None:
    follower.state.apply(leader.proposed[-1])


def test_a_term_that_passed_unnoticed_begins_another_leadership(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with flushed(store, poll()) as (replica, sink, _):
            replica.term = 3  # nobody was told
            await apply(replica, votes("happy"))
            await until("the new term writes", lambda: seen(sink) == {"happy": 1, "sad": 0})
            assert Fence(1, 3, replica.state.version) == sink.writes[-1][0]

    run(scenario())


def test_the_result_of_a_flush_is_noted_where_leaderships_begin_and_end(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """On the loop. Otherwise a new leadership could begin meanwhile, and seem caught up before it wrote anything."""

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        sink.down = "the cable is out"
        with caplog.at_level(logging.INFO):
            async with flushing(replica, sink) as flusher:
                await until("it fails", lambda: flusher.phase is Phase.RETRYING)
                sink.down = None
                await until("it goes on", lambda: flusher.phase is Phase.FLUSHING)

    run(scenario())
    noted = [record for record in caplog.records if record.name == "quorate.cluster.flush.flusher"]
    assert [threading.current_thread().name] * 2 == [record.threadName for record in noted]


def test_a_leader_that_cannot_confirm_it_leads_writes_nothing(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll())

        async def no_majority() -> int:
            raise NoLeader("no majority answers")

        replica.barrier = no_majority  # type: ignore[method-assign]  # cut off, and not yet stepped down
        async with flushing(replica, sink) as flusher:
            await until("it says so", lambda: flusher.status()["last_error"] == "no majority answers")
            assert [] == sink.writes

    run(scenario())
