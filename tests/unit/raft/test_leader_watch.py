"""Who leads, as a node believes, tells and logs it: tables of what it sees, and what follows."""

from __future__ import annotations

import logging

import pytest

from quorate.cluster.raft.catch_up import CatchUp
from quorate.cluster.raft.engine.leader_belief import LeaderBelief
from quorate.cluster.raft.leader_watch import LeaderWatch, Sight
from quorate.cluster.raft.line_limit import EVERY_S, LineLimit, Reminders

T = 0.5


# ---- belief ---------------------------------------------------------------------------------------------------------


def ticked(belief: LeaderBelief, from_s: float, to_s: float, step_s: float = 0.02) -> LeaderBelief:
    """Tick as an awake node does."""
    for step in range(int((to_s - from_s) / step_s) + 1):
        belief.tick(from_s + step * step_s)
    return belief


def believer() -> LeaderBelief:
    belief = LeaderBelief(T)
    belief.tick(0.0)
    belief.heard()
    return belief


def test_belief_ends_after_one_election_timeout_of_silence() -> None:
    assert ticked(believer(), 0.0, T - 0.05).holds
    assert not ticked(believer(), 0.0, T + 0.05).holds


def test_a_leader_that_speaks_is_believed_in_again() -> None:
    belief = ticked(believer(), 0.0, 3.0)
    belief.heard()
    assert belief.holds
    assert ticked(belief, 3.0, 3.0 + T - 0.05).holds


def test_a_node_that_slept_still_believes_when_it_wakes() -> None:
    """What the leader said meanwhile waits to be read."""
    belief = ticked(believer(), 0.0, 0.1)
    belief.tick(60.0)
    assert belief.holds
    assert not ticked(belief, 60.0, 60.0 + T).holds, "but not for long, if nothing comes"


def test_a_broken_connection_ends_belief_until_the_leader_speaks() -> None:
    belief = believer()
    belief.end()
    assert not belief.holds
    belief.heard()
    assert belief.holds


# ---- the watch ------------------------------------------------------------------------------------------------------


class Watched:
    """A watch on n1, and the calls that it ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, float]] = []
        self.watch = LeaderWatch("n1", T, 0.0, self._end)

    def _end(self, peer: str, within_s: float, why: str) -> None:
        self.ended.append((peer, round(within_s, 3)))

    def sees(
        self, now_s: float, leader: str | None, term: int = 1, silent_s: float = 0.0, via: str | None = None
    ) -> None:
        self.watch.tick(now_s, Sight(leader, term, silent_s, via))


def test_calls_to_a_silent_leader_end_at_once_when_another_leads() -> None:
    seen = Watched()
    seen.sees(1.0, "n2")
    seen.sees(1.6, None)
    assert [] == seen.ended, "it may still lead"
    seen.sees(1.8, "n3", 2)
    assert [("n2", 0.0)] == seen.ended


def test_a_leader_that_has_just_handed_over_has_a_timeout_to_answer() -> None:
    seen = Watched()
    seen.sees(1.0, "n2", silent_s=0.1)
    seen.sees(1.1, "n3", 2)
    assert [("n2", 0.3)] == seen.ended


def test_calls_on_a_silent_link_end_at_once_when_the_same_leader_is_reached_over_a_peer() -> None:
    seen = Watched()
    seen.sees(1.0, "n2")
    seen.sees(1.6, None)
    seen.sees(1.8, "n2", silent_s=0.1, via="n3")
    assert [("n2", 0.0)] == seen.ended
    seen.sees(2.6, "n2", silent_s=0.1, via="n4")
    assert [("n2", 0.0), ("n3", 0.0)] == seen.ended, "n3 told nothing any more"


def test_calls_over_a_peer_have_a_timeout_to_be_answered_when_the_leader_is_heard_again() -> None:
    """The link to that peer may be cut now, as the one to the leader was before."""
    seen = Watched()
    seen.sees(1.0, "n2", silent_s=0.1, via="n3")
    seen.sees(1.1, "n2")
    assert [("n3", 0.3)] == seen.ended


def test_calls_over_a_peer_have_a_timeout_to_be_answered_when_another_leads() -> None:
    seen = Watched()
    seen.sees(1.0, "n2", silent_s=0.1, via="n3")
    seen.sees(1.1, "n4", 2)
    assert [("n3", 0.3)] == seen.ended


@pytest.mark.parametrize(("first", "second"), [("n1", "n2"), ("n2", "n2")], ids=["this node led", "it leads again"])
def test_no_calls_end_when(first: str, second: str) -> None:
    seen = Watched()
    seen.sees(1.0, first)
    seen.sees(9.0, None)
    seen.sees(9.5, second, 2)
    assert [] == seen.ended


def test_a_leader_is_expected_for_two_timeouts_or_while_a_majority_is_heard() -> None:
    seen = Watched()
    seen.sees(1.0, "n2")
    seen.sees(2.0, None)
    seen.sees(2.9, None)
    assert seen.watch.may_expect(hears_majority=False)
    seen.sees(3.1, None)
    assert [False, True] == [seen.watch.may_expect(heard) for heard in (False, True)]
    seen.sees(3.2, "n3", 2)
    assert seen.watch.may_expect(hears_majority=False)


def test_the_time_without_a_leader_adds_up() -> None:
    seen = Watched()
    for now_s, leader in ((1.0, "n2"), (2.0, None), (3.5, "n2"), (5.0, None), (5.25, None)):
        seen.sees(now_s, leader)
    assert (1.0 + 1.5 + 0.25, 1) == (seen.watch.missing_s, seen.watch.changes)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_each_change_has_one_line_that_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen = Watched()
    for now_s, leader, term in (
        *((1.0, "n2", 1), (1.1, "n2", 1)),
        *((1.6, None, 1), (2.0, None, 1), (2.2, None, 1), (3.0, None, 1), (3.5, "n2", 1)),
        *((4.0, None, 1), (4.2, "n3", 2)),
    ):
        seen.sees(now_s, leader, term)
    assert [
        "n2 leads term 1, after 1.00 s without a leader",
        "no leader is known: n2, which led term 1, was last heard 1.1 s ago",
        "n2 is heard again and leads term 1, after 1.90 s without a leader",
        "n3 leads term 2, after 0.20 s without a leader",
    ] == lines(caplog)


def test_a_node_that_never_met_a_leader_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen = Watched()
    for tenth in range(200):
        seen.sees(tenth / 10, None)
    assert ["no leader is known since this node started, 5.0 s ago"] == lines(caplog)


def test_a_flood_of_changes_makes_few_lines_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen = Watched()
    for term in range(1, 101):
        seen.sees(1.0 + term / 10, "n2", term)
    assert len(lines(caplog)) < 12
    seen.sees(100.0, "n2", 101)
    assert "not logged before this: 91 changes" in lines(caplog)[-2]


def test_a_limit_lets_a_few_lines_through_and_counts_the_others() -> None:
    limit = LineLimit(2, 10.0)
    assert ["", "", None, None] == [limit.allow(1.0 + step) for step in range(4)]
    assert " (not logged before this: 2 changes)" == limit.allow(30.0)


def test_the_last_change_of_a_flood_is_told_once_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    """A log that ends with a leader of the past says something wrong for as long as all is well."""
    caplog.set_level(logging.INFO)
    seen = Watched()
    for term in range(1, 13):
        seen.sees(1.0 + term / 10, "n2", term)
    for tenth in range(400):
        seen.sees(2.3 + tenth / 10, "n2", 12)
    assert "n2 leads term 12 (9.0 s ago; not logged before this: 3 changes)" == lines(caplog)[-1]
    assert 9 == len(lines(caplog)), "and once"


# ---- since when no leader was heard ---------------------------------------------------------------------------------


def test_the_silence_of_leaders_is_told_from_the_start_on_and_whatever_happens() -> None:
    """As a metric: it is never missing, and never begins before this node's own leadership."""
    seen = Watched()
    told = []
    for now_s, leader, silent_s, via in (
        *((2.0, None, 0.0, None), (3.0, "n2", 0.25, None), (5.0, None, 0.0, None)),  # none yet; heard; its link broke
        *((6.0, "n2", 0.0, "n3"), (7.0, "n1", 0.0, None), (9.0, None, 0.0, None)),  # by another's word; leads; no more
    ):
        seen.sees(now_s, leader, 1, silent_s, via)
        told.append(seen.watch.silent_ms)
    assert [2_000, 250, 2_250, 3_250, 0, 2_000] == told


# ---- lag ------------------------------------------------------------------------------------------------------------


def test_lag_is_what_was_told_and_is_not_applied() -> None:
    lag = CatchUp()
    told = []
    for now_s, applied, committed in ((1.0, 10, 10), (2.0, 10, 15), (4.0, 12, 20), (5.0, 20, 20)):
        lag.tick(now_s, applied, committed)
        told.append((lag.entries, lag.seconds))
    assert [(0, 0.0), (5, 0.0), (8, 2.0), (0, 0.0)] == told


def test_a_node_that_is_always_a_little_late_is_a_little_late() -> None:
    lag = CatchUp()
    for step in range(1000):
        lag.tick(step / 10, step, step + 3)
    assert 3 == lag.entries
    assert lag.seconds < 0.5


def test_a_trouble_that_lasts_is_told_again_after_pauses_that_double() -> None:
    reminders = Reminders(first_s=15, longest_s=100)
    told = [s for s in range(400) if reminders.allow("n2", "it is down", float(s))]
    assert [0, 15, 45, 105, 205, 305] == told


def test_another_trouble_is_told_soon_and_one_that_is_over_at_once() -> None:
    reminders = Reminders(first_s=15, longest_s=100)
    assert reminders.allow("n2", "it is down", 0)
    assert not reminders.allow("n2", "it refuses this node", 10)
    assert reminders.allow("n2", "it refuses this node", 15)
    assert reminders.allow("n3", "it is down", 15)
    reminders.over("n2")
    assert reminders.allow("n2", "it is down", 16)


def test_a_trouble_that_comes_and_goes_is_not_told_each_time() -> None:
    """A peer that crashes every three seconds is down again and again, and each time for the first time."""
    reminders = Reminders(first_s=15, longest_s=100)
    told = []
    for s in range(0, 180, 3):
        told += [s] if reminders.allow("n2", "it is down", float(s)) else []
        reminders.over("n2")
    assert 8 < len(told) < 8 + 180 / EVERY_S + 2
