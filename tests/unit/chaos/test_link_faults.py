"""What is wrong between nodes, for every network: several disturbances at once, each taken away for itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from quorate.chaos.link_faults import LinkFaults
from quorate.chaos.toxics import Toxics, Way

DOWN, LOSSY = Toxics(down=True), Toxics(loss=0.5)
NODES = ["a", "b", "c"]


class Notes(LinkFaults):
    """A network that only notes what holds."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Mapping[Way, Toxics]] = []

    def _carry_out(self, now: Mapping[Way, Toxics]) -> None:
        self.held.append(now)


@pytest.fixture
def links() -> Notes:
    return Notes()


def test_disturbances_add_up_and_each_is_taken_away_for_itself(links: Notes) -> None:
    mend_cut = links.cut(["a"], ["b"], one_way=True)
    mend_loss = links.disturb({("a", "b"): LOSSY, ("c", "a"): LOSSY})
    mend_cut()
    mend_loss()
    assert [
        {("a", "b"): DOWN},
        {("a", "b"): Toxics(down=True, loss=0.5), ("c", "a"): LOSSY},
        {("a", "b"): LOSSY, ("c", "a"): LOSSY},
        {},
    ] == links.held


def test_what_is_mended_twice_or_after_all_was_healed_changes_nothing(links: Notes) -> None:
    mend = links.cut(["a"], ["b"])
    mend()
    mend()
    assert 2 == len(links.held)
    mend = links.cut(["a"], ["b"])
    links.heal()
    mend()
    assert [{("a", "b"): DOWN, ("b", "a"): DOWN}, {}] == links.held[2:]


def test_a_cut_is_between_two_sides_and_a_node_is_on_both_only_for_itself(links: Notes) -> None:
    links.cut(["a"], NODES)
    assert {("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")} == set(links.held[-1])
    assert set(links.held[-1]) == set(links.ways(["a"], NODES))


@pytest.mark.parametrize(
    ("toxics", "is_silent"),
    [(DOWN, True), (Toxics(timeout_s=1.0), True), (LOSSY, False), (Toxics(flaps_s=1.0), False)],
)
def test_who_is_cut_off_is_known(links: Notes, toxics: Toxics, is_silent: bool) -> None:
    links.disturb({("a", "b"): toxics})
    assert is_silent == links.is_silent("a", "b")
    assert not links.is_silent("b", "a")
    assert (
        ({"c"} if is_silent else {"b", "c"})
        == links.reached_by("a", NODES)
        == {"b", "c"} - ({"b"} if is_silent else set())
    )
    assert {"a", "b"} == links.reached_by("c", NODES)


def test_a_network_can_do_all_that_it_does_not_call_missing(links: Notes) -> None:
    assert links.missing(LOSSY) is None
