"""A step has the value of its moment, or none: what nobody saw is not drawn."""

from __future__ import annotations

import pytest

from quorate.history.history_file import Kept, KeptRow
from quorate.history.steps import rows_at

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
