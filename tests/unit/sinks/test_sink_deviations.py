"""What every sink that can be checked tells of documents that are not as it wrote them; here SQLite.

In `tests/services/` the same tests run with sinks that need a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.sinks.sink import WriteOutcome
from tests.unit.sinks.sink_stores import SqliteStore, Store
from tests.unit.sinks.test_sink_conformance import MOOD, T, at, happy, mood


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = SqliteStore(tmp_path / "ballots.db")
    yield store
    store.close()


EDITS = {
    "results": {"happy": 99, "sad": 1},
    "total": 99,
    "title": "Edited",
    "options": ["sad", "happy"],
    "state": "closed",
    "write_ins": True,
}


@pytest.mark.parametrize("field", EDITS)
@pytest.mark.parametrize("who", ["the same leader", "the next leader", "the same fence"])
def test_an_edited_document_is_written_over_and_told(store: Store, field: str, who: str) -> None:
    sink = store.sink()
    timed = replace(MOOD, closes_at_ms=1_800_000_000_500)
    for version in (7, 8):
        assert {"mood": WriteOutcome.WRITTEN} == sink.write([timed], at(version), "c1", timeout_s=T)
    store.edit("mood", **{field: EDITS[field]})
    assert ["mood"] == list(sink.deviations({"mood": str(at(8))}, "c1", timeout_s=T))
    writer, fence = {
        "the same leader": (sink, at(9)),
        "the next leader": (store.sink(), at(9, term=2)),
        "the same fence": (sink, at(8)),
    }[who]
    assert {"mood": WriteOutcome.EDITED} == writer.write([timed], fence, "c1", timeout_s=T)
    assert {"mood": timed} == store.sink().read(timeout_s=T)
    assert [] == list(sink.deviations({"mood": str(fence)}, "c1", timeout_s=T))
    assert {"mood": WriteOutcome.WRITTEN} == writer.write([timed], at(10, term=2), "c1", timeout_s=T)


def test_a_deleted_document_that_is_there_again_is_told(store: Store) -> None:
    sink = store.sink()
    assert [] == list(sink.deviations({"mood": None}, "c1", timeout_s=T))
    sink.write([MOOD], at(1), "c1", timeout_s=T)
    assert ["mood"] == list(sink.deviations({"mood": None}, "c1", timeout_s=T))


def test_an_edit_beside_others_is_told_alone(store: Store) -> None:
    sink = store.sink()
    many = [replace(MOOD, id=f"p{number}") for number in range(5)]
    for version in (1, 2):
        sink.write(many, at(version), "c1", timeout_s=T)
    store.edit("p3", results={"happy": 4, "sad": 1})
    written = {document.id: str(at(2)) for document in many}
    assert ["p3"] == list(sink.deviations(written, "c1", timeout_s=T))
    outcomes = sink.write(many, at(3), "c1", timeout_s=T)
    assert ["p3"] == [id for id, outcome in outcomes.items() if outcome is WriteOutcome.EDITED]
    assert all(outcome.is_stored for outcome in outcomes.values())


def test_fields_that_people_added_are_no_edit(store: Store) -> None:
    sink = store.sink()
    sink.write([MOOD], at(1), "c1", timeout_s=T)
    store.add_field("mood", "owner", "ann")
    assert [] == list(sink.deviations({"mood": str(at(1))}, "c1", timeout_s=T))
    for writer, fence in [(sink, at(2)), (store.sink(), at(2, term=2))]:
        assert {"mood": WriteOutcome.WRITTEN} == writer.write([MOOD], fence, "c1", timeout_s=T)


def test_a_sink_that_lost_everything_is_told_from_one_that_never_had_it(store: Store) -> None:
    sink = store.sink()
    sink.write([MOOD], at(1), "c1", timeout_s=T)
    store.empty()
    known = replace(MOOD, written_as=str(at(1)))
    assert ["mood"] == list(sink.deviations({"mood": str(at(1))}, "c1", timeout_s=T))
    assert {"mood": WriteOutcome.RESTORED} == sink.write([known], at(2), "c1", timeout_s=T)
    assert {"mood": MOOD} == store.sink().read(timeout_s=T)
    store.empty()
    assert {"mood": WriteOutcome.WRITTEN} == store.sink().write([MOOD], at(2, term=2), "c1", timeout_s=T)


def test_an_older_copy_that_was_put_back_is_told(store: Store) -> None:
    store.sink().write([mood(1)], at(1), "c1", timeout_s=T)
    sink = store.sink()
    known = mood(9, written_as=str(at(8)))  # what stands there now is from version 1
    assert ["mood"] == list(sink.deviations({"mood": str(at(8))}, "c1", timeout_s=T))
    assert {"mood": WriteOutcome.RESTORED} == sink.write([known], at(9), "c1", timeout_s=T)
    assert 9 == happy(store)


def test_a_write_whose_answer_was_lost_is_no_older_copy(store: Store) -> None:
    sink = store.sink()
    sink.write([mood(5)], at(5), "c1", timeout_s=T)
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood(6, written_as=str(at(4)))], at(6), "c1", timeout_s=T)


def test_a_deleted_document_deviates_and_stays_deleted(store: Store) -> None:
    sink = store.sink()
    sink.write([MOOD], at(1), "c1", timeout_s=T)
    store.delete("mood")
    assert ["mood"] == list(sink.deviations({"mood": str(at(1))}, "c1", timeout_s=T))
    known = replace(MOOD, written_as=str(at(1)))
    assert {"mood": WriteOutcome.GONE} == sink.write([known], at(2), "c1", timeout_s=T)
