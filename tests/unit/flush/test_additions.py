"""Options that people add to the documents of polls: they become the polls', once, and nothing else there is input."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.flush.flusher import Flusher, Phase
from quorate.sinks.sink import SinkError
from quorate.vote import OPTION_BYTES_MAX, OPTION_TEXT_PER_POLL_BYTES_MAX
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import apply, poll, votes
from tests.unit.flush.flushing import Gate, flushing, import_status, run, seen
from tests.unit.sinks.sink_stores import SqliteStore


def replica_of_level(level: int = 1) -> LocalReplica:
    replica = LocalReplica()
    if level:
        replica.state.raise_level(entry.encode_raise(level))
    return replica


def options(replica: LocalReplica) -> list[str]:
    view = replica.state.poll("mood")
    return [] if view is None else list(view.options)


def stored(store: SqliteStore) -> Any:
    found = store.stored("mood")
    return None if found is None else found["options"]


def problems(flusher: Flusher) -> dict[str, str]:
    return dict(import_status(flusher)["problems"])


async def in_step(replica: LocalReplica, store: SqliteStore, flusher: Flusher) -> None:
    await apply(replica, poll(), votes("happy", 2))
    await until("it is written", lambda: flusher.phase is Phase.FLUSHING and seen(store.sink()) is not None)
    await until("it is in step", lambda: flusher.caught_up()[0])


@pytest.mark.parametrize("found_by", ["the sink", "a vote"])
def test_an_option_added_there_starts_from_zero_and_takes_votes(store: SqliteStore, found_by: str) -> None:
    async def scenario() -> None:
        replica, sink = replica_of_level(), Gate(store.sink(), refresh_s=3600)
        sink.watches = found_by == "the sink"
        async with flushing(replica, sink) as flusher:
            await in_step(replica, store, flusher)
            store.edit("mood", options=["happy", "sad", "calm"])
            if found_by == "a vote":
                await apply(replica, votes("calm"))  # nobody knows it yet, so the leader looks
            await until("it is the poll's", lambda: options(replica) == ["happy", "sad", "calm"])
            await apply(replica, votes("calm", 3))
            await until("it counts", lambda: seen(store.sink()) == {"happy": 2, "sad": 0, "calm": 3})
            assert (["happy", "sad", "calm"], {}) == (stored(store), problems(flusher))

    run(scenario())


def test_what_stands_there_in_another_spelling_is_put_right_without_a_proposal(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica = replica_of_level()
        async with flushing(replica, Gate(store.sink())) as flusher:
            await in_step(replica, store, flusher)
            store.edit("mood", options=["happy", "sad", "cafe\u0301"])
            await until("it is added", lambda: options(replica) == ["happy", "sad", "caf\u00e9"])
            await until("it is shown", lambda: stored(store) == ["happy", "sad", "caf\u00e9"])
            version = replica.state.version
            store.edit("mood", options=["happy", "sad", "caf\u00e9", "cafe\u0301", 7])
            searches = import_status(flusher)["searches"]
            await until("it is found", lambda: import_status(flusher)["searches"] > searches)
            assert version == replica.state.version
            await apply(replica, votes("sad"))  # a document is written anew only with a newer version
            await until("it is put right", lambda: stored(store) == ["happy", "sad", "caf\u00e9"])
            assert version + 1 == replica.state.version

    run(scenario())


@pytest.mark.parametrize(
    ("edited", "words"),
    [
        (["happy", "sad", "x" * 257], "257 bytes"),
        (["happy", "sad", "a\tb", "calm"], "control character"),
        (["happy", "sad", *map(str, range(99_999))], "a poll has at most 100,000"),
        (["happy", "sad", *(f"{i:0256}" for i in range(16_385))], "bytes of text together"),
    ],
    ids=["long", "control character", "many", "much"],
)
def test_what_cannot_be_an_option_is_told_and_the_tally_goes_on(
    store: SqliteStore, edited: list[str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        replica = replica_of_level()
        async with flushing(replica, Gate(store.sink())) as flusher:
            await in_step(replica, store, flusher)
            store.edit("mood", options=edited)
            await until("it is told", lambda: words in problems(flusher).get("mood", ""))
            await apply(replica, votes("sad"))
            await until("it is counted", lambda: seen(store.sink()) == {"happy": 2, "sad": 1})
            assert (["happy", "sad"], edited) == (options(replica), stored(store))
            store.edit("mood", options=["happy", "sad"])
            await until("it is well", lambda: problems(flusher) == {})

    run(scenario())
    assert 1 == sum(words in record.getMessage() for record in caplog.records)


def test_an_archived_poll_takes_no_option_and_says_so(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica = replica_of_level()
        async with flushing(replica, Gate(store.sink())) as flusher:
            await in_step(replica, store, flusher)
            await apply(replica, entry.SetPollState("mood", "closed"), entry.SetPollState("mood", "archived"))
            store.edit("mood", options=["happy", "sad", "calm"])
            await until("it is told", lambda: "archived poll changes no more" in problems(flusher).get("mood", ""))
            assert ["happy", "sad"] == options(replica)

    run(scenario())


def test_below_level_1_it_is_told_and_taken_in_later(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica = replica_of_level(0)
        async with flushing(replica, Gate(store.sink(), refresh_s=0.05)) as flusher:
            await in_step(replica, store, flusher)
            store.edit("mood", options=["happy", "sad", "calm"])
            await until("it is told", lambda: "adding options to polls needs" in problems(flusher).get("mood", ""))
            await apply(replica, votes("sad"))
            await until("the tally goes on", lambda: seen(store.sink()) == {"happy": 2, "sad": 1})
            replica.state.raise_level(entry.encode_raise(1))
            await until("it is taken in", lambda: options(replica) == ["happy", "sad", "calm"])

    run(scenario())


def test_a_search_that_failed_is_done_again(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = replica_of_level(), Gate(store.sink(), refresh_s=3600)
        find, failed = sink.find_longer, list[str]()

        def fails_once(*given: Any, timeout_s: float) -> Any:
            found = find(*given, timeout_s=timeout_s)
            if found and not failed:
                failed.append("mood")
                raise SinkError("the cable is out")
            return found

        sink.find_longer = fails_once  # type: ignore[method-assign,assignment]
        async with flushing(replica, sink) as flusher:
            await in_step(replica, store, flusher)
            store.edit("mood", options=["happy", "sad", "calm"])
            await until("it is taken in", lambda: options(replica) == ["happy", "sad", "calm"])
            assert ["mood"] == failed

    run(scenario())


def test_an_imported_poll_grows_there_too_and_keeps_its_initial_results(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica = replica_of_level()
        store.insert("mood", options=["happy", "sad"], results={"happy": 5})
        async with flushing(replica, Gate(store.sink())):
            await until("it is imported", lambda: seen(store.sink()) == {"happy": 5, "sad": 0})
            store.edit("mood", options=["happy", "sad", "calm"], results={"happy": 5, "sad": 0, "calm": 99})
            await until("it is the poll's", lambda: seen(store.sink()) == {"happy": 5, "sad": 0, "calm": 0})
            assert {"happy": 5, "sad": 0} == replica.state.initial_results("mood")

    run(scenario())


NONSENSE = {
    "half a surrogate pair": r"""'["happy", "sad", "\ud800"]'""",
    "a number beyond all": """'["happy", "sad", 1e999]'""",
    "lists in lists": f"""'{"[" * 3_000}{"]" * 3_000}'""",
    "no UTF-8": "cast(x'5b22ff225d' as text)",
    "bytes": "x'5b5d'",
}


@pytest.mark.parametrize("options_", NONSENSE.values(), ids=NONSENSE)
def test_what_is_edited_into_nonsense_is_put_right_and_holds_up_no_poll(store: SqliteStore, options_: str) -> None:
    async def scenario() -> None:
        replica = replica_of_level()
        async with flushing(replica, Gate(store.sink(), refresh_s=0.05)) as flusher:
            await in_step(replica, store, flusher)
            store.run(f"update polls set options = {options_} where id = 'mood'")
            await apply(replica, poll("other", ["red", "blue"]), votes("red"))
            await until("the other is written", lambda: store.run("select 1 from polls where id = 'other'"))
            await apply(replica, votes("sad"))
            right = "select 1 from polls where id = 'mood' and options = '[\"happy\",\"sad\"]'"
            await until("it is put right", lambda: store.run(right))
            await until("it counts", lambda: seen(store.sink()) == {"happy": 2, "sad": 1})
            assert ({}, 0) == (problems(flusher), flusher.status()["failures"])

    run(scenario())


@pytest.mark.parametrize("options_", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_put_there_by_hand_is_told_and_holds_up_no_poll(store: SqliteStore, options_: str) -> None:
    async def scenario() -> None:
        replica = replica_of_level()
        async with flushing(replica, Gate(store.sink(), refresh_s=0.05)) as flusher:
            await in_step(replica, store, flusher)
            store.run(f"insert into polls (id, options) values ('odd', {options_})")
            await until("it is told", lambda: "odd" in problems(flusher))
            await apply(replica, votes("sad"))
            await until("the tally goes on", lambda: seen(store.sink()) == {"happy": 2, "sad": 1})
            assert 0 == flusher.status()["failures"]

    run(scenario())


@pytest.mark.parametrize("case", ["archived", "full"])
def test_what_a_poll_never_takes_is_not_proposed_again_and_again(store: SqliteStore, case: str) -> None:
    async def scenario() -> None:
        replica = replica_of_level()
        async with flushing(replica, Gate(store.sink(), refresh_s=0.05)) as flusher:
            await in_step(replica, store, flusher)
            if case == "archived":
                await apply(replica, entry.SetPollState("mood", "closed"), entry.SetPollState("mood", "archived"))
            else:
                full = [f"{i:0256}" for i in range(OPTION_TEXT_PER_POLL_BYTES_MAX // OPTION_BYTES_MAX - 1)]
                await apply(replica, entry.ChangePoll("mood", None, full, False, None))
            await until("it is shown", lambda: stored(store) == options(replica))
            store.edit("mood", options=[*options(replica), "calm" * 64])
            await until("it is told", lambda: "mood" in problems(flusher))
            version, searches = replica.state.version, import_status(flusher)["searches"]
            await until("it is found again", lambda: import_status(flusher)["searches"] > searches + 2)
            assert version == replica.state.version

    run(scenario())


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        ({"results": {"happy": 7}}, {"happy": 8, "sad": 0, "calm": 2}),
        ({"options": ["happy", "sad", "calm"]}, {"happy": 6, "sad": 0, "calm": 2}),
        ({"options": ["calm", "happy", "sad"], "title": "Why?"}, {"happy": 6, "sad": 0, "calm": 2}),
        ({"options": ["happy", "sad", "angry"]}, {"happy": 6, "sad": 0, "calm": 2, "angry": 0}),
    ],
)
def test_an_imported_poll_changes_while_its_document_is_edited(
    store: SqliteStore, edited: dict[str, Any], expected: dict[str, int]
) -> None:
    """Between the import and the fence, by both ways at once."""

    async def scenario() -> None:
        replica, gate = replica_of_level(), Gate(store.sink(), refresh_s=0.05)
        gate.open.clear()
        store.insert("mood", options=["happy", "sad"], results={"happy": 5})
        async with flushing(replica, gate) as flusher:
            await until("it is imported, and its write is held", lambda: gate.held)
            await apply(replica, entry.ChangePoll("mood", "How?", ["calm"], False, None))
            await apply(replica, votes("calm", 2), votes("happy"))
            store.edit("mood", **edited)
            gate.open.set()
            await until("all is counted on", lambda: seen(store.sink()) == expected)
            assert ("How?", {}) == (store.stored("mood")["title"], problems(flusher))  # type: ignore[index]

    run(scenario())
