"""Several sinks at once: each goes its own way, and all are exact at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.cluster.flush import flusher as flusher_module
from quorate.cluster.flush.flusher import Phase
from quorate.cluster.flush.flushers import Adopted, Flushers
from quorate.errors import Invalid, NotReady
from quorate.sinks.sink import Fence, PollDocument
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import adopt_by, apply, poll, votes
from tests.unit.flush.flushing import Gate, PlainSink, flushing_to, import_status, run, seen
from tests.unit.sinks.sink_stores import SqliteStore


class Two:
    """Two SQLite files, and a sink on each behind a gate: "a" and "b"."""

    def __init__(self, folder: Path) -> None:
        self.stores = {name: SqliteStore(folder / f"{name}.db") for name in ("a", "b")}

    def sinks(self) -> tuple[Gate, Gate]:
        a, b = (Gate(store.sink(), name=name) for name, store in self.stores.items())
        return a, b


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    two = Two(tmp_path)
    yield two
    for store in two.stores.values():
        store.close()


def problems(flushers: Flushers, name: str) -> dict[str, str]:
    return dict(import_status(flushers[name])["problems"])


# ---- outages ---------------------------------------------------------------------------------------------------------


def test_one_dead_sink_does_not_hold_up_the_other_and_both_are_exact_at_the_end(two: Two) -> None:
    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        await apply(replica, poll(), poll("quiet", ["p", "q"]), votes("p", 5))
        async with flushing_to(replica, a, b) as flushers:
            await until("both flush", lambda: all(flushers.caught_up(name)[0] for name in ("a", "b")))
            a.down = "the cable is out"
            await apply(replica, votes("happy", 3))
            await until("a is noticed", lambda: flushers["a"].phase is Phase.RETRYING)
            for count in range(4, 10):
                await apply(replica, votes("happy"))
                await until("b goes on", lambda count=count: seen(b) == {"happy": count, "sad": 0})  # type: ignore[misc]  # bound now
            status = flushers.status()
            assert (["a", "b"], "the cable is out", None) == (
                list(status),
                status["a"]["last_error"],
                status["b"]["last_error"],
            )
            assert (False, "the cable is out") == flushers.caught_up("a")
            in_b = (True, f"version {replica.state.version} is in b")
            await until("the flusher of b knows", lambda: flushers.caught_up("b") == in_b)
            assert (status["a"]["lag_versions"] or 0) > 0

            two.stores["a"].empty()  # it came back as an empty one
            a.down = None
            await until("a has everything", lambda: flushers.caught_up("a")[0])
        for sink in two.sinks():
            assert ({"happy": 9, "sad": 0}, {"p": 5, "q": 0}) == (seen(sink), seen(sink, "quiet"))

    run(scenario())


def test_a_write_that_hangs_in_one_sink_holds_up_neither_the_other_nor_the_stop(two: Two) -> None:
    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        await apply(replica, poll())
        a.open.clear()
        async with flushing_to(replica, a, b) as flushers:
            await until("a hangs", lambda: a.held)
            await apply(replica, votes("happy"))
            await until("b goes on", lambda: seen(b) == {"happy": 1, "sad": 0})
            await apply(replica, votes("happy"))
            await asyncio.wait_for(flushers.stop(4.0), 60)
            assert {"happy": 2, "sad": 0} == seen(two.stores["b"].sink()), "its last flush"
            assert Phase.STOPPED is flushers["b"].phase
            a.open.set()

    run(scenario())


def test_a_sink_that_does_not_import_is_written_to_like_the_others(two: Two) -> None:
    async def scenario() -> None:
        replica, (a, _) = LocalReplica(), two.sinks()
        plain = PlainSink(two.stores["b"].sink())
        two.stores["a"].insert("tea", options=["yes", "no"], results={"yes": 5})
        two.stores["b"].insert("ignored", options=["x", "y"])
        async with flushing_to(replica, a, plain) as flushers:
            await until("the import is there too", lambda: seen(plain, "tea") == {"yes": 5, "no": 0})
            await apply(replica, votes("yes"))
            await until("votes as well", lambda: seen(plain, "tea") == {"yes": 6, "no": 0})
            assert (None, 1) == (flushers.status()["plain"]["import"], import_status(flushers["a"])["imported"])
            assert None is replica.state.poll("ignored")

    run(scenario())


def test_a_sink_that_leaves_a_document_out_of_its_answer_is_asked_again_after_a_pause(two: Two) -> None:
    """Without a pause its flusher would ask the loop for the same poll without end."""

    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        await apply(replica, poll())
        forgetful = PlainSink(a)
        forgetful.write = lambda documents, fence, cluster_id, *, timeout_s: {}  # a mistake
        async with flushing_to(replica, forgetful, b) as flushers:
            await until("it is noticed", lambda: flushers["plain"].phase is Phase.RETRYING)
            assert "plain did not say what became of 'mood'" == flushers.status()["plain"]["last_error"]
            await until("b goes on", lambda: seen(b) == {"happy": 0, "sad": 0})

    run(scenario())


# ---- polls put there by hand -----------------------------------------------------------------------------------------


def test_a_poll_imported_from_one_sink_has_the_same_totals_in_the_other(two: Two) -> None:
    """What is deleted by hand in one sink stays deleted there, and there alone."""

    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        two.stores["a"].insert("tea", options=["yes", "no"], results={"yes": 5})
        async with flushing_to(replica, a, b):
            await until("b has it", lambda: seen(b, "tea") == {"yes": 5, "no": 0})
            await until("a has it", lambda: seen(a, "tea") == {"yes": 5, "no": 0})
            two.stores["b"].delete("tea")
            await apply(replica, votes("yes", 2))
            await until("a goes on", lambda: seen(a, "tea") == {"yes": 7, "no": 0})
        assert None is seen(two.stores["b"].sink(), "tea")

    run(scenario())


def test_of_two_documents_with_one_id_the_first_import_counts_and_the_other_is_left_alone(two: Two) -> None:
    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        results = {"a": {"yes": 5, "no": 0}, "b": {"yes": 0, "no": 9}}
        for name, store in two.stores.items():
            store.insert("tea", options=["yes", "no"], results=results[name])
        async with flushing_to(replica, a, b) as flushers:
            await until("one is reported", lambda: problems(flushers, "a") or problems(flushers, "b"))
            first, other = ("b", "a") if problems(flushers, "a") else ("a", "b")
            sinks = {"a": a, "b": b}
            assert f"imported a poll of this id from {first}" in problems(flushers, other)["tea"]
            await apply(replica, votes("yes", 2))
            total = {"yes": results[first]["yes"] + 2, "no": results[first]["no"]}
            await until("the first is counted on", lambda: seen(sinks[first], "tea") == total)
            flushes = flushers.status()[other]["flushes"]
            await until("the other has flushed", lambda: flushers.status()[other]["flushes"] > flushes + 3)
            untouched = two.stores[other].stored("tea")
            assert untouched is not None
            assert (results[other], None) == (untouched["results"], untouched["fence"])
            assert total == replica.state.results("tea"), "counted once"
            two.stores[other].delete("tea")
            await until("its place is free", lambda: seen(sinks[other], "tea") == total)
            assert {} == problems(flushers, other)

    run(scenario())


def test_after_a_change_of_leaders_an_edited_document_is_told_how_to_be_taken(two: Two) -> None:
    """Nobody knows any more from which sink it came, so its results are not moved; put back, it is counted on."""

    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        two.stores["a"].insert("tea", options=["yes", "no"], results={"yes": 8, "no": 0})
        await apply(replica, poll("tea", ["yes", "no"], initial_results=[5, 0], imported=True), votes("yes"))
        async with flushing_to(replica, a, b) as flushers:
            await until("it is reported", lambda: "tea" in problems(flushers, "a"))
            told = problems(flushers, "a")["tea"]
            assert "imported with other results ('yes': 5, 'no': 0)" in told
            assert "put these results back" in told
            two.stores["a"].edit("tea", results={"yes": 5, "no": 0})
            await until("put back, it is taken", lambda: seen(a, "tea") == {"yes": 6, "no": 0})
            assert {} == problems(flushers, "a")

    run(scenario())


def test_the_same_poll_put_into_both_sinks_is_counted_once_and_written_to_both(two: Two) -> None:
    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        for store in two.stores.values():
            store.insert("tea", options=["yes", "no"], results={"yes": 5})
        async with flushing_to(replica, a, b) as flushers:
            await until("both have it", lambda: seen(a, "tea") == seen(b, "tea") == {"yes": 5, "no": 0})
            await apply(replica, votes("yes"))
            await until("both count on", lambda: seen(a, "tea") == seen(b, "tea") == {"yes": 6, "no": 0})
            assert ({}, {}) == (problems(flushers, "a"), problems(flushers, "b"))
            assert 1 == sum(import_status(flushers[name])["imported"] for name in ("a", "b"))

    run(scenario())


def test_results_changed_in_the_first_sink_before_they_were_fenced_are_imported_again(two: Two) -> None:
    """The other sink has the poll already: it follows, and no vote is lost or doubled."""

    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        async with flushing_to(replica, a, b) as flushers:
            await until("both flush", lambda: all(flushers.caught_up(name)[0] for name in ("a", "b")))
            a.open.clear()
            two.stores["a"].insert("tea", options=["yes", "no"], results={"yes": 5})
            await until("the fencing hangs", lambda: a.held)
            await apply(replica, votes("yes", 2))
            await until("b has it", lambda: seen(b, "tea") == {"yes": 7, "no": 0})
            two.stores["a"].edit("tea", results={"yes": 8, "no": 1})
            a.open.set()
            await until("a is exact", lambda: seen(a, "tea") == {"yes": 10, "no": 1})
            await until("b is exact", lambda: seen(b, "tea") == {"yes": 10, "no": 1})
            assert ({}, {}) == (problems(flushers, "a"), problems(flushers, "b"))

    run(scenario())


def test_a_leader_that_does_not_know_the_origin_moves_no_initial_results(two: Two) -> None:
    """It was imported by a leader that died before it fenced the document."""

    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        two.stores["a"].insert("tea", options=["yes", "no"], results={"yes": 5})
        two.stores["b"].insert("tea", options=["yes", "no"], results={"yes": 9, "no": 9})
        await apply(replica, poll("tea", ["yes", "no"], initial_results=[5, 0], imported=True), votes("yes"))
        async with flushing_to(replica, a, b) as flushers:
            await until("a is fenced", lambda: seen(a, "tea") == {"yes": 6, "no": 0})
            await until("b is reported", lambda: "another id" in problems(flushers, "b").get("tea", ""))
            assert {"yes": 6, "no": 0} == replica.state.results("tea")

    run(scenario())


# ---- whose sinks -----------------------------------------------------------------------------------------------------

THEIRS = PollDocument("mood", "", ["x", "y"], {"x": 9, "y": 9}, "open", 70, 0)


def test_one_sink_of_another_cluster_stops_alone_and_is_adopted_by_its_name(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher_module, "STOPPED_PAUSE_S", 3_600.0)

    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        a.sink.write([THEIRS], Fence(4, 8, 70), "c0", timeout_s=10)
        await apply(replica, poll(), votes("happy"))
        async with flushing_to(replica, a, b) as flushers:
            await until("a stops", lambda: flushers["a"].phase is Phase.FOREIGN)
            await until("b goes on", lambda: seen(b) == {"happy": 1, "sad": 0})
            assert Adopted(0, 2, {"b": 0}) == await flushers.adopt(adopt_by(replica), "b")
            await until("a stopped again", lambda: flushers["a"].phase is Phase.FOREIGN)
            assert Adopted(1, 3, {"a": 1}) == await flushers.adopt(adopt_by(replica), "a")
            await until("a goes on", lambda: seen(a) == {"happy": 1, "sad": 0})
            with pytest.raises(Invalid, match="no sink 'c'; it has a, b"):
                await flushers.adopt(adopt_by(replica), "c")

    run(scenario())


def test_adopting_all_sinks_takes_over_those_that_answer_and_names_the_other(two: Two) -> None:
    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        for sink in (a, b):
            sink.sink.write([THEIRS], Fence(4, 8, 70), "c0", timeout_s=10)
        await apply(replica, poll(), votes("happy"))
        async with flushing_to(replica, a, b) as flushers:
            a.down = "the cable is out"
            with pytest.raises(NotReady, match="b is taken over, generation 2; a is not: the cable is out"):
                await flushers.adopt(adopt_by(replica))
            await until("b goes on", lambda: seen(b) == {"happy": 1, "sad": 0})
            a.down = None
            assert Adopted(1, 3, {"a": 1, "b": 0}) == await flushers.adopt(adopt_by(replica))
            await until("a goes on", lambda: seen(a) == {"happy": 1, "sad": 0})

    run(scenario())


def test_a_sink_that_fails_by_a_mistake_of_its_own_leaves_the_adoption_of_the_other_whole(two: Two) -> None:
    async def scenario() -> None:
        replica, (a, b) = LocalReplica(), two.sinks()
        b.sink.write([THEIRS], Fence(4, 8, 70), "c0", timeout_s=10)
        await apply(replica, poll(), votes("happy"))

        def mistaken(cluster_id: str, *, timeout_s: float) -> int:
            raise KeyError("who")

        a.adopt = mistaken  # type: ignore[method-assign]
        async with flushing_to(replica, a, b) as flushers:
            with pytest.raises(NotReady, match=r"^b is taken over, generation 2; a is not: KeyError\('who'\)$"):
                await flushers.adopt(adopt_by(replica))
            await until("b goes on", lambda: seen(b) == {"happy": 1, "sad": 0})
            with pytest.raises(NotReady, match=r"^nothing is taken over; a is not: KeyError\('who'\)$"):
                await flushers.adopt(adopt_by(replica), "a")
            assert 2 == replica.state.generation

    run(scenario())


def test_a_node_without_a_sink_has_nothing_to_adopt() -> None:
    async def scenario() -> None:
        with pytest.raises(NotReady, match=r"flush\.sinks is empty"):
            await Flushers(LocalReplica(), []).adopt(adopt_by(LocalReplica()))

    run(scenario())
