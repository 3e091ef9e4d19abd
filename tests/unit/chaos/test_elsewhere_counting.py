"""`python -m bench.elsewhere` counts what was lost, doubled and stale without versions, from the history alone."""

from __future__ import annotations

import pytest

from bench.elsewhere.counting import Counted, Outcome, count
from bench.elsewhere.table import cells
from quorate.chaos.history import Cast, Kind, Read, Record, SentVote


def cast(id: str, outcome: Kind, begun: float, ended: float | None = None) -> Cast:
    votes = [SentVote("a", id, "p")]
    ended = begun + 0.5 if ended is None else ended
    return Cast(number=1, client="c", node="n1", begun=begun, ended=ended, outcome=outcome, request=id, votes=votes)


def read(total: int, begun: float, *, settles: bool = False) -> Read:
    results = {"a": total} if total else {}
    return Read(
        number=1,
        client="r",
        node="n1",
        begun=begun,
        ended=begun + 0.5,
        outcome="ok",
        poll="p",
        level="linearizable",
        results=results,
        total=total,
        settles=settles,
    )


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([cast("1", "ok", 1), read(1, 9, settles=True)], (1, 0, 0, 0)),
        ([cast("1", "ok", 1), cast("2", "ok", 2), read(1, 9, settles=True)], (2, 0, 1, 0)),
        ([cast("1", "ok", 1), read(0, 9, settles=True)], (1, 0, 1, 0)),
        ([cast("1", "ok", 1), read(2, 9, settles=True)], (1, 0, 0, 1)),
        ([cast("1", "unknown", 1), read(1, 9, settles=True)], (0, 1, 0, 0)),
        ([cast("1", "unknown", 1), read(0, 9, settles=True)], (0, 1, 0, 0)),
        ([cast("1", "unknown", 1), read(2, 9, settles=True)], (0, 1, 0, 1)),
        ([cast("1", "unknown", 1), cast("1", "ok", 2), read(1, 9, settles=True)], (1, 0, 0, 0)),
        ([cast("1", "unknown", 1), cast("1", "ok", 2), read(2, 9, settles=True)], (1, 0, 0, 1)),
        ([cast("1", "ok", 1), cast("1", "ok", 2), read(1, 9, settles=True)], (1, 0, 0, 0)),  # sent again: one vote
        ([cast("1", "fail", 1), read(1, 9, settles=True)], (0, 0, 0, 1)),
    ],
)
def test_lost_and_doubled(records: list[Record], expected: tuple[int, int, int, int]) -> None:
    found = count(records)
    assert expected == (found.acknowledged, found.unknown, found.lost, found.doubled)


@pytest.mark.parametrize(
    ("records", "stale"),
    [
        ([cast("1", "ok", 1), read(1, 2), read(1, 9, settles=True)], 0),
        ([cast("1", "ok", 1), read(0, 2), read(1, 9, settles=True)], 1),
        ([cast("1", "ok", 1, 3), read(0, 2), read(1, 9, settles=True)], 0),  # it began before the answer came
        ([cast("1", "ok", 1), read(0, 2), read(0, 9, settles=True)], 0),  # the vote is lost, and counted as that
        ([cast("1", "unknown", 1), read(1, 2), read(0, 3), read(1, 9, settles=True)], 1),  # another one had seen it
        ([cast("1", "unknown", 1), read(1, 2), read(0, 3), read(0, 9, settles=True)], 0),
        ([cast("1", "ok", 1), read(2, 2), read(1, 3), read(1, 9, settles=True)], 0),
    ],
)
def test_stale_reads(records: list[Record], stale: int) -> None:
    assert stale == count(records).stale


def test_a_row_is_the_sum_of_its_runs_and_tells_the_worst_verdict() -> None:
    runs = [
        Outcome(Counted(10, 5, 1, 0, 2, reads=4), 1.5, "clean", {}),
        Outcome(Counted(1, 1, 0, 3, 0, reads=1, stale=1), 0.5, "violated", {"reads": 7}),
    ]
    expected = ["x", "11", "6", "1", "3", "2", "1 of 5", "1.5 s", "0.0 ms", "violated: reads"]
    assert expected == cells("x", runs)
