"""Whether a document is a tally that the poll had between two moments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorate.cluster.audit.comparison import Moved, PollCopy, compare
from quorate.cluster.fsm import PollView
from quorate.sinks.auditable import FoundDocument
from quorate.sinks.sink import PollDocument

VIEW = PollView("mood", "How?", ("happy", "sad"), "open", None, False, 0, 3, False, 1)


def copy(happy: int, version: int = 9, view: PollView = VIEW) -> PollCopy:
    return PollCopy(view, dict.fromkeys(view.options, 0) | {"happy": happy}, version)


def stored(happy: int, *, total: object = None, edited: bool = False, **changes: object) -> FoundDocument:
    results = {"happy": happy, "sad": 0}
    document = PollDocument("mood", "How?", ["happy", "sad"], results, "open", 9, 0)
    document = replace(document, **changes)  # type: ignore[arg-type]  # fields by name
    return FoundDocument("c1", "f", document, document.total if total is None else total, edited)


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        (stored(5), []),
        (stored(7), []),
        (stored(6), []),
        (stored(4), ["result"]),
        (stored(8), ["result"]),
        (stored(6, total=7), ["total"]),
        (stored(6, total="6"), ["total"]),
        (stored(6, edited=True), ["edited"]),
        (stored(6, title="Who?"), ["title"]),
        (stored(6, state="closed"), ["state"]),
        (stored(6, write_ins=True), ["write_ins"]),
        (stored(6, closes_at_ms=5), ["closes_at"]),
        (stored(6, options=["sad", "happy"]), ["options"]),
        (stored(6, options=["happy", "sad", "added by people"]), []),
        (stored(6, results={"happy": 6}), ["result"]),
        (stored(6, results={"happy": 6, "sad": 0, "more": 1}), ["result"]),
        (stored(6, results={"happy": 6, "sad": 1}), ["result"]),
        (None, ["missing"]),
        (FoundDocument(None, None), ["by_hand"]),
        (FoundDocument("c2", "f", stored(6).document, 6), ["foreign"]),
        (FoundDocument("c1", "f", None, why="no JSON"), ["unreadable"]),
    ],
)
def test_what_lies_between_two_copies_agrees(found: FoundDocument | None, kinds: list[str]) -> None:
    assert kinds == [each.kind for each in compare(copy(5), found, copy(7), "c1")]


def test_a_poll_that_changed_otherwise_is_looked_at_again() -> None:
    for other in (replace(VIEW, state="closed"), replace(VIEW, creation=2), replace(VIEW, title="Who?")):
        with pytest.raises(Moved):
            compare(copy(5), stored(5), copy(5, view=other), "c1")
    with pytest.raises(Moved):  # an import was done again
        compare(copy(5), stored(6), copy(4), "c1")


def test_options_that_were_written_in_meanwhile_may_stand_there_or_not() -> None:
    before = replace(VIEW, write_ins=True)
    after = replace(before, options=("happy", "sad", "new"))
    without = stored(5, write_ins=True)
    with_it = stored(5, write_ins=True, options=["happy", "sad", "new"], results={"happy": 5, "sad": 0, "new": 0})
    for found in (without, with_it):
        assert [] == compare(copy(5, view=before), found, copy(5, view=after), "c1")
    other = stored(5, write_ins=True, options=["happy", "sad", "odd"], results={"happy": 5, "sad": 0, "odd": 0})
    assert ["options", "result"] == [e.kind for e in compare(copy(5, view=before), other, copy(5, view=after), "c1")]


def test_differences_of_one_poll_are_bounded() -> None:
    options = tuple(f"o{number}" for number in range(100))
    view = replace(VIEW, options=options)
    found = stored(0, options=list(options), results=dict.fromkeys(options, 1))
    differences = compare(
        PollCopy(view, dict.fromkeys(options, 0), 9), found, PollCopy(view, dict.fromkeys(options, 0), 9), "c1"
    )
    assert (21, "and 80 more differences") == (len(differences), differences[-1].words)
