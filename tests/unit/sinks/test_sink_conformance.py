"""What every sink that imports must do, whatever its database; here SQLite.

In `tests/services/` the same tests run with sinks that need a server, each with a `store` fixture of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.sinks.auditable import AuditableSink
from quorate.sinks.importable import ManualPoll, Unreadable
from quorate.sinks.sink import Fence, PollDocument, WriteOutcome
from tests.unit.sinks.sink_stores import SqliteStore, Store

T = 10.0  # seconds; no test waits for it
MOOD = PollDocument("mood", "How are you?", ["happy", "sad"], {"happy": 3, "sad": 1}, "open", 7, 1_700_000_000_123)
ODD = ["node.js", "$cash", "a.b.$c", "$", ".", "💚 yes", 'quote"s\\', "ü" * 100, "$ref", "$id", "_id"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = SqliteStore(tmp_path / "ballots.db")
    yield store
    store.close()


def at(version: int, *, term: int = 1, generation: int = 0) -> Fence:
    return Fence(generation, term, version)


def mood(happy: int, **changes: object) -> PollDocument:
    return replace(MOOD, results={"happy": happy, "sad": 1}, **changes)  # type: ignore[arg-type]  # fields by name


def happy(store: Store) -> int:
    found = store.stored("mood")
    assert found is not None
    return int(found["results"]["happy"])


# ---- what stands there -----------------------------------------------------------------------------------------------


def test_a_document_is_what_people_expect(store: Store) -> None:
    assert {"mood": WriteOutcome.WRITTEN} == store.sink().write([MOOD], at(7), "c1", timeout_s=T)
    found = store.stored("mood")
    assert found is not None
    assert "How are you?" == found["title"]
    assert ["happy", "sad"] == found["options"]
    assert {"happy": 3, "sad": 1} == found["results"]
    assert ["happy", "sad"] == list(found["results"]), "in the poll's own order"
    assert ("open", 4) == (found["state"], found["total"])


def test_what_was_written_is_read_back(store: Store) -> None:
    sink = store.sink()
    timed = replace(MOOD, id="timed", closes_at_ms=1_800_000_000_500, write_ins=True, state="closed")
    sink.write([MOOD, timed], at(7), "c1", timeout_s=T)
    assert {"mood": MOOD, "timed": timed} == store.sink().read(timeout_s=T)


def test_any_option_text_survives(store: Store) -> None:
    results = {option: 2**63 - 1 if option == "$" else place for place, option in enumerate(ODD)}
    odd = replace(MOOD, id="odd.$id", options=ODD, results={**results, "$": 2**60})
    sink = store.sink()
    for version in (1, 2):
        assert {odd.id: WriteOutcome.WRITTEN} == sink.write([odd], at(version), "c1", timeout_s=T)
    assert {odd.id: odd} == store.sink().read(timeout_s=T)


def test_a_total_of_63_bits_survives(store: Store) -> None:
    full = mood(2**63 - 2)
    store.sink().write([full], at(1), "c1", timeout_s=T)
    assert {"mood": full} == store.sink().read(timeout_s=T)


def test_fields_of_others_are_left_alone(store: Store) -> None:
    sink = store.sink()
    sink.write([mood(1)], at(1), "c1", timeout_s=T)
    store.add_field("mood", "owner", "ann")
    sink.write([mood(2)], at(2), "c1", timeout_s=T)
    found = store.stored("mood")
    assert found is not None
    assert ("ann", 2) == (found["owner"], found["results"]["happy"])


# ---- fences ----------------------------------------------------------------------------------------------------------


def test_a_newer_fence_wins_and_an_older_one_changes_nothing(store: Store) -> None:
    sink, late = store.sink(), store.sink()
    for newer in (at(5), at(6), at(3, term=2), at(1, term=1, generation=1)):
        assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood(newer.version)], newer, "c1", timeout_s=T)
        assert {"mood": WriteOutcome.NEWER} == late.write([mood(999)], at(4), "c1", timeout_s=T)
        assert newer.version == happy(store)


def test_an_equal_fence_is_success_and_changes_nothing(store: Store) -> None:
    store.sink().write([mood(1)], at(5), "c1", timeout_s=T)
    assert {"mood": WriteOutcome.SAME} == store.sink().write([mood(1)], at(5), "c1", timeout_s=T)
    assert 1 == happy(store)


def test_another_clusters_document_is_refused_until_adopted(store: Store) -> None:
    sink = store.sink()
    sink.write([mood(50)], at(90, term=9, generation=3), "old", timeout_s=T)
    assert ("old", at(90, term=9, generation=3)) == sink.newest_foreign_fence("new", timeout_s=T)
    assert {"mood": WriteOutcome.FOREIGN} == sink.write([mood(1)], at(1), "new", timeout_s=T)
    assert 50 == happy(store)

    assert 1 == sink.adopt("new", timeout_s=T)
    assert None is sink.newest_foreign_fence("new", timeout_s=T)
    assert 0 == sink.adopt("new", timeout_s=T)
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood(1)], at(1), "new", timeout_s=T)
    assert {"mood": WriteOutcome.FOREIGN} == sink.write([mood(51)], at(91, term=9, generation=3), "old", timeout_s=T)
    assert 1 == happy(store)


def test_each_document_of_a_write_has_its_own_outcome(store: Store) -> None:
    sink = store.sink()
    sink.write([mood(1, id="newer")], at(9), "c1", timeout_s=T)
    sink.write([mood(1, id="foreign")], at(1), "c2", timeout_s=T)
    sink.write([mood(1, id="gone")], at(1), "c1", timeout_s=T)
    store.delete("gone")
    sink.write([mood(1, id="older")], at(1), "c1", timeout_s=T)
    ids = ("newer", "foreign", "gone", "older", "new")
    outcomes = sink.write([mood(2, id=id) for id in ids], at(5), "c1", timeout_s=T)
    assert {
        "newer": WriteOutcome.NEWER,
        "foreign": WriteOutcome.FOREIGN,
        "gone": WriteOutcome.GONE,
        "older": WriteOutcome.WRITTEN,
        "new": WriteOutcome.WRITTEN,
    } == {id: WriteOutcome.WRITTEN if outcome is WriteOutcome.SAME else outcome for id, outcome in outcomes.items()}
    assert None is store.stored("gone")
    seen = {id: document.results["happy"] for id, document in sink.read(timeout_s=T).items()}
    assert {"newer": 1, "foreign": 1, "older": 2, "new": 2} == seen


# ---- deleted documents -----------------------------------------------------------------------------------------------


def test_a_deleted_document_is_not_brought_back_by_any_node(store: Store) -> None:
    store.sink().write([mood(1)], at(1), "c1", timeout_s=T)
    store.delete("mood")
    for sink in (store.sink(), store.sink()):
        assert {"mood": WriteOutcome.GONE} == sink.write([mood(2)], at(2, term=2), "c1", timeout_s=T)
    assert None is store.stored("mood")


def test_a_document_written_beside_refused_ones_is_not_brought_back_either(store: Store) -> None:
    store.sink().write([mood(1, id="newer")], at(9), "c1", timeout_s=T)
    store.sink().write([mood(1), mood(1, id="newer")], at(1), "c1", timeout_s=T)
    store.delete("mood")
    assert {"mood": WriteOutcome.GONE} == store.sink().write([mood(2)], at(2), "c1", timeout_s=T)


def test_a_sink_that_was_emptied_is_filled(store: Store) -> None:
    sink = store.sink()
    sink.write([mood(1)], at(1), "c1", timeout_s=T)
    store.empty()
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood(2)], at(2), "c1", timeout_s=T)
    assert 2 == happy(store)


def test_raising_the_generation_writes_deleted_documents_again(store: Store) -> None:
    sink = store.sink()
    sink.write([mood(1)], at(1), "c1", timeout_s=T)
    store.delete("mood")
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood(2)], at(2, generation=1), "c1", timeout_s=T)
    assert 2 == happy(store)


# ---- polls put there by hand -----------------------------------------------------------------------------------------


def test_polls_put_there_by_hand_are_found_and_fenced_ones_are_not(store: Store) -> None:
    store.insert("tea", title="Tea?", options=["yes", "no"], results={"yes": 3.0})
    store.insert("bare", options=["a.b", "$c"])
    sink = store.sink()
    sink.write([MOOD], at(1), "c1", timeout_s=T)
    found, unreadable = sink.find(timeout_s=T)
    assert [
        ManualPoll("bare", "bare", ["a.b", "$c"], {"a.b": 0, "$c": 0}),
        ManualPoll("tea", "Tea?", ["yes", "no"], {"yes": 3, "no": 0}),
    ] == found
    assert [] == unreadable


def test_a_senseless_document_is_reported_and_hides_no_other(store: Store) -> None:
    store.insert("bad", title="?", options=["a", "b"], results={"a": -1})
    store.insert("good", options=["a", "b"])
    found, unreadable = store.sink().find(timeout_s=T)
    assert ["good"] == [poll.id for poll in found]
    assert [Unreadable("bad", "the result of 'a' is -1; give 0 to 2^63-1")] == unreadable


def test_an_imported_poll_is_written_over_the_results_it_was_imported_with(store: Store) -> None:
    store.insert("mood", options=["happy", "sad"], results={"happy": 5, "sad": 0}, title="How?")
    imported = mood(6, initial_results={"happy": 5, "sad": 0})
    sink = store.sink()
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([imported], at(1), "c1", timeout_s=T)
    assert 6 == happy(store)
    assert ([], []) == sink.find(timeout_s=T)
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([replace(imported, version=8)], at(2), "c1", timeout_s=T)


def test_missing_results_are_zeros_when_it_is_written(store: Store) -> None:
    store.insert("mood", options=["$happy.", "sad"])
    options, zeros = ["$happy.", "sad"], {"$happy.": 0, "sad": 0}
    imported = replace(MOOD, options=options, results={"$happy.": 1, "sad": 1}, initial_results=zeros)
    assert {"mood": WriteOutcome.WRITTEN} == store.sink().write([imported], at(1), "c1", timeout_s=T)


def test_results_changed_since_the_import_are_left_alone(store: Store) -> None:
    store.insert("mood", options=["happy", "sad"], results={"happy": 7, "sad": 0})
    sink = store.sink()
    stale = mood(6, initial_results={"happy": 5, "sad": 0})
    assert {"mood": WriteOutcome.CHANGED} == sink.write([stale], at(1), "c1", timeout_s=T)
    assert 7 == happy(store)
    again = mood(8, initial_results={"happy": 7, "sad": 0})
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([again], at(2), "c1", timeout_s=T)


def test_a_hand_made_document_under_the_id_of_a_poll_of_the_cluster_is_left_alone(store: Store) -> None:
    store.insert("mood", options=["x", "y"])
    assert {"mood": WriteOutcome.TAKEN} == store.sink().write([MOOD], at(1), "c1", timeout_s=T)
    found = store.stored("mood")
    assert found is not None
    assert ["x", "y"] == found["options"]


def test_a_document_deleted_and_put_there_again_is_left_alone(store: Store) -> None:
    """The votes in its results may have been counted already."""
    store.insert("mood", options=["happy", "sad"], results={"happy": 5, "sad": 0})
    imported = mood(6, initial_results={"happy": 5, "sad": 0})
    sink = store.sink()
    sink.write([imported], at(1), "c1", timeout_s=T)
    store.delete("mood")
    store.insert("mood", options=["happy", "sad"], results={"happy": 5, "sad": 0})
    for fence in (at(2), at(3, generation=1)):
        assert {"mood": WriteOutcome.REPLACED} == sink.write([imported], fence, "c1", timeout_s=T)


def test_adopting_leaves_hand_made_documents_to_the_import(store: Store) -> None:
    store.insert("tea", options=["yes", "no"])
    sink = store.sink()
    assert 0 == sink.adopt("c1", timeout_s=T)
    assert ["tea"] == [poll.id for poll in sink.find(timeout_s=T)[0]]


# ---- options that people add -----------------------------------------------------------------------------------------


def options(store: Store) -> list[object]:
    found = store.stored("mood")
    assert found is not None
    return list(found["options"])


def longer(store: Store, size: int = 2, cluster: str = "c1") -> dict[str, list[str]]:
    return dict(store.sink().find_longer({"mood": size, "none": 1}, cluster, timeout_s=T))


def test_an_added_option_is_found_and_no_write_takes_it_away(store: Store) -> None:
    sink = store.sink()
    sink.write([mood(1)], at(1), "c1", timeout_s=T)
    assert {} == longer(store)
    store.edit("mood", options=["happy", "sad", "calm"])
    for version in (2, 3):
        assert {"mood": ["happy", "sad", "calm"]} == longer(store)
        assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood(version)], at(version), "c1", timeout_s=T)
        assert (["happy", "sad", "calm"], version) == (options(store), happy(store))
    assert {} == longer(store, cluster="c2")
    assert {} == longer(store, size=3)


def test_an_option_added_between_two_writes_of_one_sink_stays(store: Store) -> None:
    """Also where the sink knows the document from its own last write, and the options come in another order."""
    sink = store.sink()
    for version in (1, 2):
        sink.write([mood(version)], at(version), "c1", timeout_s=T)
    store.edit("mood", options=["calm", "happy", "sad"])
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood(3)], at(3), "c1", timeout_s=T)
    assert (["happy", "sad", "calm"], 3) == (options(store), happy(store))


def test_what_the_poll_has_by_now_stands_there_once(store: Store) -> None:
    sink = store.sink()
    sink.write([mood(1)], at(1), "c1", timeout_s=T)
    store.edit("mood", options=["happy", "sad", "cafe\u0301"])
    grown = replace(mood(2), options=["happy", "sad", "caf\u00e9"], results={"happy": 2, "sad": 1, "caf\u00e9": 0})
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([grown], at(2), "c1", timeout_s=T)
    assert (["happy", "sad", "caf\u00e9"], {}) == (options(store), longer(store, size=3))
    assert {"mood": grown} == sink.read(timeout_s=T)


def test_options_that_were_taken_away_or_renamed_come_back(store: Store) -> None:
    sink = store.sink()
    for version, edited in enumerate((["happy"], ["happy", "blue"], [], None, "happy, sad", [7, {"a": 1}]), 1):
        sink.write([mood(version)], at(2 * version), "c1", timeout_s=T)
        store.edit("mood", options=edited)
        assert {"mood": WriteOutcome.EDITED} == sink.write([mood(50)], at(2 * version + 1), "c1", timeout_s=T)
        kept = ["blue"] if version == 2 else []  # the new name is an addition, and the old one comes back
        assert ["happy", "sad", *kept] == options(store)


def test_a_write_in_poll_keeps_no_additions(store: Store) -> None:
    words, sink = replace(mood(1), write_ins=True), store.sink()
    sink.write([words], at(1), "c1", timeout_s=T)
    store.edit("mood", options=["happy", "sad", "calm"])
    assert {} == longer(store)
    sink.write([words], at(2), "c1", timeout_s=T)
    assert ["happy", "sad"] == options(store)


def test_options_of_a_document_that_was_adopted_are_no_additions(store: Store) -> None:
    sink = store.sink()
    sink.write([replace(mood(1), options=["x", "happy", "sad"])], at(1), "old", timeout_s=T)
    sink.adopt("new", timeout_s=T)
    assert {} == longer(store, cluster="new")
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood(1)], at(1), "new", timeout_s=T)
    assert ["happy", "sad"] == options(store)


def test_an_option_added_before_an_imported_poll_is_fenced_stays(store: Store) -> None:
    imported = replace(mood(5), initial_results={"happy": 3, "sad": 1})
    store.insert("mood", title="How are you?", options=["happy", "sad", "calm"], results={"happy": 3, "sad": 1})
    assert {"mood": WriteOutcome.WRITTEN} == store.sink().write([imported], at(1), "c1", timeout_s=T)
    assert (["happy", "sad", "calm"], 5) == (options(store), happy(store))
    assert {"mood": ["happy", "sad", "calm"]} == longer(store)


def test_an_option_added_with_votes_before_the_fence_is_left_alone(store: Store) -> None:
    imported = replace(mood(5), initial_results={"happy": 3, "sad": 1})
    store.insert("mood", options=["happy", "sad", "calm"], results={"happy": 3, "sad": 1, "calm": 2})
    assert {"mood": WriteOutcome.CHANGED} == store.sink().write([imported], at(1), "c1", timeout_s=T)
    assert 3 == happy(store)


def test_closing_twice_is_fine(store: Store) -> None:
    sink = store.sink()
    sink.read(timeout_s=T)
    sink.close()
    sink.close()


# ---- for an audit ----------------------------------------------------------------------------------------------------


def test_what_stands_there_is_found_as_it_is(store: Store) -> None:
    sink = store.sink()
    assert isinstance(sink, AuditableSink)
    polls = {"mood": MOOD.options, "by hand": ["a", "b"], "none": ["x", "y"]}
    sink.write([MOOD], at(7), "c1", timeout_s=T)
    store.insert("by hand", title="By hand", options=["a", "b"])
    found = sink.look_at(polls, timeout_s=T)
    assert {"mood", "by hand"} == found.keys()
    mood, by_hand = found["mood"], found["by hand"]
    assert ("c1", str(at(7)), 4, False) == (mood.cluster, mood.fence, mood.total, mood.edited)
    assert mood.document is not None
    assert {"happy": 3, "sad": 1} == mood.document.results
    assert (None, None) == (by_hand.cluster, by_hand.document)
    assert ["mood"] == sink.ids_of("c1", timeout_s=T)
    store.edit("mood", total=5)
    edited = sink.look_at(polls, timeout_s=T)["mood"]
    assert (5, True) == (edited.total, edited.edited)
