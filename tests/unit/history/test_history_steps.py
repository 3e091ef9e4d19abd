"""A step has the value of its moment, or none: what nobody saw is not drawn."""

from __future__ import annotations

import pytest

from quorate.history.history_file import Kept, KeptRow
from quorate.history.steps import gaps_in, rows_at

ROWS = [KeptRow(time, time, b"") for time in (100, 105, 120, 131)]

CASES: list[tuple[str, Kept, dict[int, int | None]]] = [
    ("nothing was recorded", Kept(), {100: None}),
    (
        "between two rows nothing changed",
        Kept(ROWS, [(100, 140)], 100),
        {99: None, 100: 100, 104: 100, 105: 105, 119: 105, 139: 131, 140: 131, 141: None},
    ),
    (
        "a break is a gap, and until the poll was looked at again it goes on",
        Kept(ROWS, [(100, 110), (118, 140)], 100),
        {110: 105, 111: None, 117: None, 118: None, 119: None, 120: 120},
    ),
    ("a row of another time does not count", Kept(ROWS[:1], [(100, 110), (118, 140)], 100), {110: 100, 125: None}),
    ("what was dropped is a gap", Kept(ROWS, [(100, 140)], 106), {105: None, 106: 105}),
]


@pytest.mark.parametrize(("what", "kept", "expected"), CASES)
def test_steps(what: str, kept: Kept, expected: dict[int, int | None]) -> None:
    found = rows_at(kept, list(expected))
    assert expected == dict(zip(expected, (None if row is None else row.total for row in found), strict=True)), what


def test_gaps_are_told_from_the_time_on_in_which_the_poll_was_seen() -> None:
    kept = Kept(ROWS, [(80, 90), (99, 110), (112, 118), (119, 125), (130, 140)], 80)
    assert [(110, 112), (125, 130)] == gaps_in(kept, 0, 140), "with no second between them there is none"
    assert [(125, 130), (140, 150)] == gaps_in(Kept(ROWS, kept.spans[2:], 80), 112, 150)
    assert [(105, 119), (125, 130)] == gaps_in(Kept(ROWS, kept.spans[3:], 80), 105, 140), "it began before the window"
    assert [(145, 150)] == gaps_in(Kept(ROWS, [], 80), 145, 150)
    assert [] == gaps_in(Kept([], kept.spans, 80), 0, 150)
