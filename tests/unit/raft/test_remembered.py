"""What a peer's disk surely had, and whether this node's own disk still has it."""

from __future__ import annotations

import pytest

from quorate.cluster.raft.remembered import OnDisk, Remembered, both, forgotten


def known(entry: tuple[int, int] = (0, 0), term: int = 0, ballot: str = "") -> Remembered:
    return Remembered("b", "inc", *entry, term, ballot)


@pytest.mark.parametrize(
    ("disk", "remembered", "held_term", "missing"),
    [
        (OnDisk(3, 50, 3, "a"), known((3, 50), 3, "a"), 3, ""),  # the same disk
        (OnDisk(3, 60, 4, ""), known((3, 50), 3, "a"), 3, ""),  # it went on
        (OnDisk(3, 49, 3, "a"), known((3, 50), 3, "a"), None, "entry 50"),
        (OnDisk(2, 90, 3, "a"), known((3, 50), 3, "a"), 2, "entry 50"),  # a long tail that was never committed
        (OnDisk(2, 90, 3, "a"), known((3, 50), 3, "a"), None, "entry 50"),
        (OnDisk(4, 60, 4, ""), known((3, 50)), 4, "term 4 there"),  # it went on with others that had forgotten it
        (OnDisk(4, 60, 4, ""), known((3, 50)), None, ""),  # that is in a snapshot: nobody can tell
        (OnDisk(3, 50, 3, "a"), known((3, 50), 4), 3, "in term 4"),
        (OnDisk(3, 50, 4, ""), known((3, 50), 4, "c"), 3, "ballot of term 4 to c"),
        (OnDisk(3, 50, 4, "a"), known((3, 50), 4, "c"), 3, "ballot of term 4 to c"),
        (OnDisk(3, 50, 4, "a"), known((3, 50), 4), 3, ""),
        (OnDisk(3, 50, 5, ""), known((3, 50), 4, "c"), 3, ""),
    ],
)
def test_what_is_missing(disk: OnDisk, remembered: Remembered, held_term: int | None, missing: str) -> None:
    said = forgotten(disk, remembered, held_term)
    assert missing in said
    assert bool(missing) == bool(said)


@pytest.mark.parametrize(
    ("one", "other", "all_of_it"),
    [
        (known((3, 50)), known((3, 40)), known((3, 50))),
        (known((3, 50)), known((4, 40)), known((4, 40))),
        (known((3, 50), 3, "a"), known((3, 40), 4), known((3, 50), 4)),
        (known(term=4), known(term=4, ballot="c"), known(term=4, ballot="c")),
        (known(term=4, ballot="c"), known(term=3, ballot="z"), known(term=4, ballot="c")),
    ],
)
def test_what_two_peers_know_together(one: Remembered, other: Remembered, all_of_it: Remembered) -> None:
    assert all_of_it == both(one, other)
    assert all_of_it == both(other, one)
