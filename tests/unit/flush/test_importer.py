"""Polls put into the sink by hand: imported in two steps, never lost, never doubled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quorate.cluster.flush import importer as importing
from quorate.cluster.flush.flusher import Flusher, Phase
from quorate.sinks.sink import SinkError, WriteOutcome
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import apply, poll, votes
from tests.unit.flush.flushing import PAUSES_AFTER, Gate, flushing, import_status, run, seen
from tests.unit.sinks.sink_stores import SqliteStore


def problems(flusher: Flusher) -> dict[str, str]:
    return dict(import_status(flusher)["problems"])


def silent(store: SqliteStore, refresh_s: float) -> Gate:
    """A sink that cannot tell of new polls, as a MongoDB without change streams: it is searched every refresh."""
    sink = Gate(store.sink(), refresh_s=refresh_s)
    sink.watches = False
    return sink


def test_a_poll_put_there_by_hand_is_counted_on_from_its_results(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        store.insert("tea", title="Tea?", options=["yes.", "$no"], results={"yes.": 5})
        async with flushing(replica, sink) as flusher:
            await until("it is in the cluster", lambda: replica.state.poll("tea") is not None)
            await apply(replica, votes("yes.", 2), votes("$no", 1, poll="tea"))
            await until("it is counted on", lambda: seen(sink, "tea") == {"yes.": 7, "$no": 1})
            assert "Tea?" == sink.read(timeout_s=10)["tea"].title
            assert ({}, 1) == (problems(flusher), import_status(flusher)["imported"])

    run(scenario())


def test_a_poll_put_there_later_is_found_before_the_refresh(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        async with flushing(replica, Gate(store.sink(), refresh_s=3600)) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            store.insert("tea", options=["yes", "no"])
            await until("it is found", lambda: seen(store.sink(), "tea") == {"yes": 0, "no": 0})

    run(scenario())


def test_votes_for_what_nobody_knows_do_not_hurry_a_sink_that_is_down(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "LOOK_EVERY_S", 3600.0)

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink(), refresh_s=3600)
        sink.down = "the cable is out"
        async with flushing(replica, sink, interval_s=60) as flusher:
            await until("it pauses", lambda: flusher.status()["failures"] == PAUSES_AFTER)
            for _ in range(200):
                await apply(replica, votes("rubbish"))
                await asyncio.sleep(0.001)
            assert flusher.status()["failures"] <= PAUSES_AFTER + 1

    run(scenario())


@pytest.mark.parametrize("call", ["touched", "find"])
def test_a_search_that_failed_is_done_again_before_the_refresh(store: SqliteStore, call: str) -> None:
    """The sink tells of a poll once. A search that failed must not make the poll wait for the next refresh."""

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink(), refresh_s=3600)
        answer, failed = getattr(sink, call), False

        def fails_when_the_poll_is_there(*, timeout_s: float) -> Any:
            nonlocal failed
            found = answer(timeout_s=timeout_s)
            if not failed and found not in (False, ([], [])):
                failed = True
                raise SinkError("the cable is out")
            return found

        async with flushing(replica, sink) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            setattr(sink, call, fails_when_the_poll_is_there)
            store.insert("tea", options=["yes", "no"])
            await until("it is found", lambda: seen(store.sink(), "tea") == {"yes": 0, "no": 0})
            assert failed

    run(scenario())


def test_a_sink_that_cannot_tell_is_searched_every_refresh(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), silent(store, refresh_s=0.1)
        async with flushing(replica, sink) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            store.insert("tea", options=["yes", "no"])
            await until("it is found", lambda: seen(sink, "tea") == {"yes": 0, "no": 0})

    run(scenario())


def test_a_vote_for_what_nobody_knows_makes_the_leader_search_at_once(store: SqliteStore) -> None:
    """A vote that names its poll, and one that names none; the first is met while the sink may not be searched yet."""

    async def scenario() -> None:
        replica, sink = LocalReplica(), silent(store, refresh_s=3600)
        async with flushing(replica, sink) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            for option, poll_id, cast in [("yes", "tea", votes("yes", poll="tea")), ("milk", "drink", votes("milk"))]:
                store.insert(poll_id, options=[option, "other"])
                await apply(replica, cast)
                await until("it is found", lambda id=poll_id: replica.state.poll(id) is not None)  # type: ignore[misc]

    run(scenario())


def test_votes_for_what_nobody_knows_make_few_searches(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LOOK_EVERY_S", 3600.0)

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink(), refresh_s=3600)
        async with flushing(replica, sink) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            searches, flushes = import_status(flusher)["searches"], flusher.status()["flushes"]
            for _ in range(20):
                await apply(replica, votes("rubbish"))
            await until("five more flushes", lambda: flusher.status()["flushes"] > flushes + 5)
            assert searches == import_status(flusher)["searches"]

    run(scenario())


def test_an_import_that_a_crash_cut_in_two_is_finished_by_the_next_leader(store: SqliteStore) -> None:
    """Proposed and committed by a leader that died before it fenced the document."""

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        store.insert("tea", options=["yes", "no"], results={"yes": 5, "no": 0})
        await apply(replica, poll("tea", ["yes", "no"], initial_results=[5, 0], imported=True), votes("yes"))
        async with flushing(replica, sink) as flusher:
            await until("it is fenced", lambda: seen(sink, "tea") == {"yes": 6, "no": 0})
            assert ({}, 0) == (problems(flusher), import_status(flusher)["imported"])

    run(scenario())


def test_senseless_documents_are_reported_by_id_and_left_alone(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        store.insert("bad", options=["only one"])
        store.insert("good", options=["yes", "no"])
        async with flushing(replica, sink) as flusher:
            await until("the good one is in", lambda: seen(sink, "good") == {"yes": 0, "no": 0})
            assert {"bad": "it has 1 option; give 2 to 100,000"} == problems(flusher)
            assert None is replica.state.poll("bad")
            before = store.stored("bad")
            assert before is not None
            assert (None, ["only one"]) == (before["fence"], before["options"])
            store.edit("bad", options=["one", "two"])
            await until("mended, it is taken in", lambda: seen(sink, "bad") == {"one": 0, "two": 0})
            assert {} == problems(flusher)

    run(scenario())


def test_a_document_with_the_id_of_a_poll_of_the_cluster_is_reported_until_it_is_gone(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll("mood"), votes("happy"))
        store.insert("mood", options=["x", "y"], results={"x": 4, "y": 4})
        async with flushing(replica, sink) as flusher:
            await until("it is reported", lambda: "mood" in problems(flusher))
            await apply(replica, votes("happy"))
            await until("nothing is behind", lambda: flusher.caught_up()[0])
            untouched = store.stored("mood")
            assert untouched is not None
            assert {"x": 4, "y": 4} == untouched["results"]
            assert {WriteOutcome.TAKEN} == {outcome for _, outcomes in sink.writes for outcome in outcomes.values()}
            store.delete("mood")
            await until("the cluster's own is written", lambda: seen(sink) == {"happy": 2, "sad": 0})
            await until("nothing is reported any more", lambda: {} == problems(flusher))

    run(scenario())


def test_results_changed_before_the_first_flush_are_imported_again(store: SqliteStore) -> None:
    """Changed by hand after the import was committed, and before the document was fenced: no vote lost or doubled."""

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        store.insert("tea", options=["yes", "no"], results={"yes": 9, "no": 2})
        await apply(replica, poll("tea", ["yes", "no"], initial_results=[5, 3], imported=True), votes("yes", 4))
        async with flushing(replica, sink) as flusher:
            await until("it is counted on", lambda: seen(sink, "tea") == {"yes": 13, "no": 2})
            assert {"yes": 13, "no": 2} == replica.state.results("tea")
            assert ({}, 1) == (problems(flusher), import_status(flusher)["imported"])

    run(scenario())


def test_options_changed_before_the_first_flush_are_reported_once_a_refresh(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        store.insert("tea", options=["yes", "maybe"], results={"yes": 9, "maybe": 2})
        await apply(replica, poll("tea", ["yes", "no"], initial_results=[5, 3], imported=True))
        async with flushing(replica, sink) as flusher:
            await until("it is reported", lambda: "put its options back" in problems(flusher).get("tea", ""))
            proposed, flushes = len(replica.proposed), flusher.status()["flushes"]
            await until("five more flushes", lambda: flusher.status()["flushes"] > flushes + 5)
            assert proposed == len(replica.proposed), "not proposed again and again"
            store.edit("tea", options=["no", "yes"], results={"yes": 9, "no": 2})
            await until("it is still reported", lambda: "put its options back" in problems(flusher).get("tea", ""))
            store.edit("tea", options=["yes", "no"])
            await until("put back, it is taken", lambda: seen(sink, "tea") == {"yes": 9, "no": 2})

    run(scenario())


def test_a_poll_deleted_and_put_there_again_is_not_counted_twice(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        store.insert("tea", options=["yes", "no"], results={"yes": 5, "no": 0})
        async with flushing(replica, sink) as flusher:
            await until("it is in the cluster", lambda: replica.state.poll("tea") is not None)
            await apply(replica, votes("yes", 3))
            await until("it is counted on", lambda: seen(sink, "tea") == {"yes": 8, "no": 0})
            store.delete("tea")
            store.insert("tea", options=["yes", "no"], results={"yes": 8, "no": 0})
            await until("it is reported", lambda: "tea" in problems(flusher))
            assert {"yes": 8, "no": 0} == replica.state.results("tea")

    run(scenario())


def test_what_the_cluster_refuses_is_reported(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        store.insert("one", options=["a", "b"], results={"a": 2**62})
        store.insert("two", options=["c", "d"], results={"c": 2**62, "d": 2**62 - 1})
        async with flushing(replica, sink) as flusher:
            await until("the first is in", lambda: seen(sink, "one") == {"a": 2**62, "b": 0})
            await until("the other is refused", lambda: "2^63-1" in problems(flusher).get("two", ""))

    run(scenario())


def test_many_polls_are_imported_in_several_entries(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.cluster.flush.importer.PROPOSAL_BYTES", 1000)

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        for number in range(30):
            store.insert(f"p{number:02d}", options=[f"a{number}", f"b{number}"], results={f"a{number}": number})
        async with flushing(replica, sink):
            await until("all are fenced", lambda: len(sink.read(timeout_s=10)) == 30)
        assert {f"a{number}": number for number in range(30)} == {
            f"a{number}": replica.state.results(f"p{number:02d}")[f"a{number}"]  # type: ignore[index]  # it exists
            for number in range(30)
        }
        assert 1 < len(replica.proposed) < 30

    run(scenario())


@pytest.fixture
def two_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """One search finds no more than two polls."""
    for module in ("quorate.cluster.flush.importer", "quorate.sinks.documents"):
        monkeypatch.setattr(f"{module}.MANUAL_POLLS_MAX", 2)


@pytest.mark.usefixtures("two_a_search")
def test_more_polls_than_one_search_finds_do_not_wait_for_the_refresh(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), silent(store, refresh_s=3600)
        for number in range(5):
            store.insert(f"p{number}", options=["yes", "no"])
        async with flushing(replica, sink):
            await until("all are fenced", lambda: len(sink.read(timeout_s=10)) == 5)

    run(scenario())


@pytest.mark.usefixtures("two_a_search")
def test_as_many_documents_left_alone_as_one_search_finds_are_searched_once_a_refresh(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), silent(store, refresh_s=3600)
        await apply(replica, poll("p0"), poll("p1"))
        for number in range(2):
            store.insert(f"p{number}", options=["yes", "no"])
        find, searches = sink.find, []

        def counted(*, timeout_s: float) -> Any:
            searches.append(1)
            return find(timeout_s=timeout_s)

        sink.find = counted  # type: ignore[method-assign]  # counts what it passes on
        async with flushing(replica, sink) as flusher:
            await until("both are reported", lambda: len(problems(flusher)) == 2)
            flushes, before = flusher.status()["flushes"], len(searches)
            await until("five more flushes", lambda: flusher.status()["flushes"] > flushes + 5)
            assert before == len(searches)

    run(scenario())


def test_a_deposed_leader_imports_nothing(store: SqliteStore) -> None:
    """What it read may be old: only an entry of its own term may hold it."""

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        async with flushing(replica, sink) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            find, proposed = sink.find, []

            def deposed_while_finding(*, timeout_s: float) -> Any:
                found = find(timeout_s=timeout_s)
                if found[0]:
                    proposed.append(len(replica.proposed))
                    replica.term = 7  # and nobody was told
                return found

            sink.find = deposed_while_finding  # type: ignore[method-assign]  # the moment between reading and proposing
            store.insert("tea", options=["yes", "no"], results={"yes": 5, "no": 0})
            await until("the next leadership imports it", lambda: seen(sink, "tea") == {"yes": 5, "no": 0})
            assert [0, 0] == proposed, "the deposed one read it and did not propose it"

    run(scenario())
