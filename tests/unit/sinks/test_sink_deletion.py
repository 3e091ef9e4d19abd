"""Deleted polls in a sink that imports: they are marked, never brought back, and never mixed up with a new poll.

In `tests/services/` the same tests run with sinks that need a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate.sinks.sink import Fence, PollDocument, WriteOutcome
from tests.unit.sinks.sink_stores import SqliteStore, Store

T = 10.0
OLD = PollDocument("mood", "How?", ["happy", "sad"], {"happy": 3, "sad": 1}, "archived", 7, 1_000, creation=4)
NEW = replace(OLD, options=["calm", "happy"], results={"calm": 0, "happy": 0}, state="open", creation=9)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = SqliteStore(tmp_path / "ballots.db")
    yield store
    store.close()


def at(version: int, *, term: int = 1) -> Fence:
    return Fence(1, term, version)


def write(store: Store, document: PollDocument, version: int, *, term: int = 1) -> WriteOutcome:
    return store.sink().write([document], at(version, term=term), "c1", timeout_s=T)[document.id]


def mark(store: Store, version: int, *, creation: int = 4, term: int = 1) -> set[str]:
    return set(store.sink().mark_deleted({"mood": creation}, at(version, term=term), "c1", timeout_s=T))


def stored(store: Store) -> Any:
    found = store.stored("mood")
    assert found is not None
    return found


def test_a_marked_document_keeps_its_last_tally(store: Store) -> None:
    write(store, OLD, 7)
    assert {"mood"} == mark(store, 8)
    assert ("deleted", ["happy", "sad"], {"happy": 3, "sad": 1}) == tuple(
        stored(store)[name] for name in ("state", "options", "results")
    )
    assert {"mood"} == mark(store, 9), "again"


def test_the_document_of_an_older_poll_without_a_number_is_marked(store: Store) -> None:
    write(store, replace(OLD, creation=0), 7)
    assert {"mood"} == mark(store, 8, creation=0)
    assert "deleted" == stored(store)["state"]


def test_a_document_that_is_not_there_is_not_made(store: Store) -> None:
    assert {"mood"} == mark(store, 8)
    assert store.stored("mood") is None
    assert WriteOutcome.GONE == write(store, OLD, 9), "by a leader that was deposed meanwhile"


def test_a_leader_that_was_deposed_does_not_bring_a_deleted_poll_back(store: Store) -> None:
    write(store, OLD, 7)
    mark(store, 8, term=2)
    assert WriteOutcome.NEWER == write(store, OLD, 9, term=1)
    assert "deleted" == stored(store)["state"]


def test_a_hand_made_document_that_was_never_fenced_is_not_imported_again(store: Store) -> None:
    store.insert("mood", options=["happy", "sad"], results={"happy": 3})
    assert {"mood"} == mark(store, 8)
    assert ([], []) == store.sink().find(timeout_s=T)
    assert "deleted" == stored(store)["state"]


def test_a_hand_made_document_that_came_after_the_mark_is_left_to_people(store: Store) -> None:
    mark(store, 8)
    store.insert("mood", options=["happy", "sad"])
    assert {"mood"} == mark(store, 9, term=2), "another leadership"
    found, _ = store.sink().find(timeout_s=T)
    assert ["mood"] == [poll.id for poll in found]


def test_it_is_imported_as_a_new_poll_when_the_old_one_is_forgotten(store: Store) -> None:
    write(store, OLD, 7)
    mark(store, 8)
    store.delete("mood")
    store.insert("mood", options=["calm", "happy"], results={"calm": 5})
    imported = replace(NEW, results={"calm": 6, "happy": 0}, initial_results={"calm": 5, "happy": 0})
    assert WriteOutcome.WRITTEN == write(store, imported, 20)
    assert {"calm": 6, "happy": 0} == stored(store)["results"]


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("added", [["happy", "sad"], ["happy", "sad", "angry"]])
def test_a_new_poll_takes_the_place_and_gets_nothing_of_the_old_one(
    store: Store, is_marked: bool, added: list[str]
) -> None:
    sink = store.sink()
    sink.write([OLD], at(7), "c1", timeout_s=T)
    if added != OLD.options:
        store.edit("mood", options=added)
    if is_marked:
        assert {"mood"} == set(sink.mark_deleted({"mood": 4}, at(8), "c1", timeout_s=T))
        assert {} == sink.find_longer({"mood": 2}, "c1", timeout_s=T)
    for version in (9, 10):
        assert {"mood": WriteOutcome.WRITTEN} == sink.write([NEW], at(version), "c1", timeout_s=T)
        assert ("open", ["calm", "happy"]) == (stored(store)["state"], stored(store)["options"])


def test_a_new_poll_is_written_though_people_deleted_the_old_document(store: Store) -> None:
    sink = store.sink()
    sink.write([OLD], at(7), "c1", timeout_s=T)
    store.delete("mood")
    assert {"mood": WriteOutcome.GONE} == sink.write([OLD], at(8), "c1", timeout_s=T)
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([NEW], at(9), "c1", timeout_s=T)
    store.delete("mood")
    assert {"mood": WriteOutcome.GONE} == sink.write([NEW], at(10), "c1", timeout_s=T), "and so is the new one"


def test_a_late_mark_does_not_meet_the_new_poll(store: Store) -> None:
    write(store, OLD, 7)
    write(store, NEW, 9)
    assert {"mood"} == mark(store, 10, term=2)
    assert ("open", ["calm", "happy"]) == (stored(store)["state"], stored(store)["options"])


def test_a_mark_under_an_older_fence_is_not_done(store: Store) -> None:
    write(store, OLD, 9, term=3)
    assert set() == mark(store, 10, term=2)
    assert "archived" == stored(store)["state"]


def test_a_new_poll_under_the_fence_of_the_mark_is_written(store: Store) -> None:
    write(store, OLD, 7)
    mark(store, 8)
    assert WriteOutcome.WRITTEN == write(store, NEW, 8)


def test_another_clusters_document_stays(store: Store) -> None:
    store.sink().write([OLD], at(7), "c2", timeout_s=T)
    assert {"mood"} == mark(store, 99)
    assert "archived" == stored(store)["state"]


def test_many_are_marked_at_once(store: Store) -> None:
    polls = [replace(OLD, id=f"p{number}", creation=number) for number in range(300)]
    sink = store.sink()
    sink.write(polls, at(7), "c1", timeout_s=T)
    assert 300 == len(sink.mark_deleted({poll.id: poll.creation for poll in polls}, at(8), "c1", timeout_s=T))
    assert {"deleted"} == {document.state for document in sink.read(timeout_s=T).values()}
