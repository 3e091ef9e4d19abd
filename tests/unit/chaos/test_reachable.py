"""A run is asked only for what its faults and its time can reach."""

from __future__ import annotations

import pytest

from quorate.chaos import reached
from quorate.chaos.nemeses.all import ALL, FAMILIES
from quorate.chaos.noticing import NOTICED
from quorate.chaos.reachable import LIST, asked_of

MINUTES = 60.0
OF_NODES = sorted(set(ALL) - {each.name for family in ("programs", "services") for each in FAMILIES[family]})


@pytest.mark.parametrize(
    ("faults", "duration_s", "asked", "not_asked"),
    [
        ([], 2 * MINUTES, {"duplicate-answer", "old-epoch-refused"}, {"poll-closed-during-a-fault"}),
        ([], 5, set(), {"duplicate-answer"}),
        (["kill-leader"], 1 * MINUTES, {"leader-killed-with-votes-in-flight"}, {"election-under-a-partition"}),
        (["delay"], 2 * MINUTES, {"poll-closed-during-a-fault"}, {"unknown-outcome-had-counted"}),
        (["partition-leader-link"], 2 * MINUTES, {"vote-over-two-hops"}, {"flush-by-a-deposed-leader-refused"}),
        (OF_NODES, 10 * MINUTES, {"leader-killed-with-votes-in-flight", "vote-over-two-hops"}, set()),
    ],
)
def test_what_is_asked(faults: list[str], duration_s: float, asked: set[str], not_asked: set[str]) -> None:
    found = set(asked_of(faults, duration_s))
    assert asked <= found
    assert set() == not_asked & found


def test_everything_on_the_list_is_noticed_by_somebody() -> None:
    assert set() == {each.name for each in LIST} - {*NOTICED, *reached.DERIVED}
    assert {*NOTICED} <= {each.name for each in LIST}
