"""A sink that holds other documents than the leader expects: another cluster's, newer ones, or deleted ones."""

from __future__ import annotations

from functools import partial

import pytest

from quorate.cluster.entry import RaiseGeneration
from quorate.cluster.flush import flusher as flusher_module
from quorate.cluster.flush.flusher import Phase
from quorate.cluster.flush.flushers import Adopted
from quorate.sinks.sink import Fence, PollDocument
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import adopt_by, apply, elect, form_cluster_entry, poll, votes
from tests.unit.flush.flushing import Gate, flushed, flushing, flushing_to, run, seen, shows
from tests.unit.sinks.sink_stores import SqliteStore

# ---- whose sink ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _looks_at_a_sink_that_it_may_not_write_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it goes on because it was told to."""
    monkeypatch.setattr(flusher_module, "STOPPED_PAUSE_S", 3_600.0)


def test_another_clusters_sink_stops_the_flush_until_it_is_adopted(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        theirs = [PollDocument(id, "", ["a", "b"], {"a": 9, "b": 9}, "open", 70, 0) for id in ("mood", "other")]
        sink.write(theirs, Fence(4, 8, 70), "c0", timeout_s=10)
        sink.writes.clear()
        await apply(replica, poll(), votes("happy"))
        async with flushing_to(replica, sink) as flushers:
            flusher = flushers["sqlite"]
            await until("it stops", lambda: flusher.phase is Phase.FOREIGN)
            assert "c0" in str(flusher.last_error)
            assert "quorate sink adopt" in str(flusher.last_error)
            assert [] == sink.writes
            assert Adopted(2, 2, {"sqlite": 2}) == await flushers.adopt(adopt_by(replica))
            await until("it goes on at once", lambda: seen(sink) == {"happy": 1, "sad": 0})
            assert {"a": 9, "b": 9} == seen(sink, "other"), "a poll that this cluster does not know stays as it was"

    run(scenario())


def test_another_clusters_document_met_later_stops_the_flush_too(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        async with flushing(replica, sink) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            theirs = PollDocument("mood", "", ["a"], {"a": 9}, "open", 70, 0)
            sink.sink.write([theirs], Fence(4, 8, 70), "c0", timeout_s=10)
            await apply(replica, poll(), votes("happy"))
            await until("it stops", lambda: flusher.phase is Phase.FOREIGN)
            assert {"a": 9} == seen(sink)

    run(scenario())


def test_nodes_whose_data_is_older_than_the_sink_stop_the_flush_until_it_is_adopted(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll(), votes("happy"))
        newer = PollDocument("mood", "", ["happy", "sad"], {"happy": 50, "sad": 0}, "open", 900, 0)
        sink.sink.write([newer], Fence(1, 40, 900), "c1", timeout_s=10)
        async with flushing_to(replica, sink) as flushers:
            flusher = flushers["sqlite"]
            await until("it stops", lambda: flusher.phase is Phase.OUTRANKED)
            assert {"happy": 50, "sad": 0} == seen(sink)
            await flushers.adopt(adopt_by(replica))
            await until("it goes on", lambda: seen(sink) == {"happy": 1, "sad": 0})

    run(scenario())


def test_a_cluster_that_is_formed_later_begins_to_flush(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(form=False), Gate(store.sink())
        async with flushing(replica, sink) as flusher:
            assert Phase.IDLE is flusher.phase
            await replica.propose(form_cluster_entry(replica))
            await apply(replica, poll())
            await until("it writes", lambda: seen(sink) == {"happy": 0, "sad": 0})

    run(scenario())


# ---- deleted documents -----------------------------------------------------------------------------------------------


def test_a_deleted_document_stays_deleted_whoever_leads_until_the_generation_is_raised(store: SqliteStore) -> None:
    async def scenario() -> None:
        async with flushed(store, poll(), poll("quiet", ["p", "q"])) as (replica, sink, flusher):
            store.delete("mood")
            for term in (2, 3):
                await apply(replica, votes("happy"), votes("p"))
                await until("the others go on", partial(shows, sink, "quiet", "p", term - 1))
                elect(replica, term)
                await until("the next leadership", lambda: flusher.phase is Phase.FLUSHING)
                await until("a deleted document is not behind", lambda: flusher.caught_up()[0])
                assert None is seen(sink)
            await apply(replica, RaiseGeneration("by hand"))
            await until("it is written again", lambda: seen(sink) == {"happy": 2, "sad": 0})

    run(scenario())
