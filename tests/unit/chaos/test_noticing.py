"""Which situations a run notices by itself, from looks at the nodes and from what is broken meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from quorate.chaos.elsewhere import Elsewhere
from quorate.chaos.faulting import BrokenNow
from quorate.chaos.history import OpenSession, PollChange, Reached
from quorate.chaos.noticing import Noticing
from quorate.chaos.workload.node_looks import KnownState, NodeSight, look_of

CUT = BrokenNow(1, "partition-leader", 1.0, ["n1"], "n1 is cut off")
KILLED = BrokenNow(2, "kill-leader", 1.0, ["n1"], "n1 is killed")


class Scene:
    def __init__(self, *broken: BrokenNow, last_ack: float = 0.0) -> None:
        self.reached: list[str] = []
        self.noticing = Noticing(
            lambda: broken, lambda fault: fault.startswith("partition"), lambda node: last_ack, self._note
        )

    def _note(self, reached: Reached) -> None:
        self.reached.append(reached.name)

    def looks(self, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
        first = sight(1.0, before)
        self.noticing.look(first, None)
        self.noticing.look(sight(2.0, now), first)
        return self.reached


def sight(at: float, raft: dict[str, Any]) -> NodeSight:
    refused, uptime_s = raft.pop("refused_flushes", 0), raft.pop("uptime_s", at)
    status = {
        "uptime_s": uptime_s,
        "raft": {"role": "follower", "voter": True, "term": 3, **raft},
        "sinks": {"sqlite": {"documents": {"newer": refused}}},
    }
    return NodeSight(look_of("n2", at, status, KnownState()), status)


@pytest.mark.parametrize(
    ("before", "now", "name"),
    [
        ({}, {"term": 4}, "election-under-a-partition"),
        ({}, {"snapshots_received": 1}, "snapshot-installed-during-a-partition"),
        ({}, {"refused_flushes": 1}, "flush-by-a-deposed-leader-refused"),
    ],
)
def test_looks_under_a_partition(before: dict[str, Any], now: dict[str, Any], name: str) -> None:
    assert [name] == Scene(CUT).looks(before, now)


def test_counters_of_a_node_that_was_silent_in_between_are_compared_with_what_it_told_before() -> None:
    """A node that is paused, or cut off from us, moves on just when nobody looks."""
    scene = Scene(CUT)
    scene.looks({}, {})
    silent = NodeSight(look_of("n2", 3.0, {}, KnownState(is_paused=True)), {})
    scene.noticing.look(silent, sight(2.0, {}))
    scene.noticing.look(sight(4.0, {"refused_flushes": 1, "snapshots_received": 1}), silent)
    assert ["snapshot-installed-during-a-partition", "flush-by-a-deposed-leader-refused"] == scene.reached


def test_counters_of_a_node_that_was_started_anew_began_at_zero() -> None:
    scene = Scene(CUT)
    scene.looks({}, {"snapshots_received": 2, "uptime_s": 9})
    scene.noticing.look(sight(4.0, {"snapshots_received": 1, "uptime_s": 1}), None)
    assert ["snapshot-installed-during-a-partition"] * 2 == scene.reached


def test_elections_and_snapshots_count_only_while_links_are_broken() -> None:
    assert [] == Scene(KILLED).looks({}, {"term": 4, "snapshots_received": 1})


@pytest.mark.parametrize(("last_ack", "reached"), [(1.5, ["vote-over-two-hops"]), (0.5, [])])
def test_a_vote_over_two_hops_was_sent_after_the_node_said_that_it_reaches_the_leader_over_another(
    last_ack: float, reached: list[str]
) -> None:
    via = {"leader_via": "n3"}
    assert reached == Scene(CUT, last_ack=last_ack).looks(dict(via), dict(via))


def test_changes_of_polls_and_sessions_during_a_fault() -> None:
    closed = PollChange(number=1, client="c", node="n1", begun=1, ended=2, outcome="ok", poll="p", to="closed")
    closed.before = "open"
    opened = OpenSession(number=2, client="c", node="n1", begun=1, ended=2, outcome="ok", producer="p", epoch=2)
    scene, quiet = Scene(KILLED), Scene()
    for operation in (closed, opened):
        scene.noticing.change(operation)
        quiet.noticing.change(operation)
    assert ["poll-closed-during-a-fault", "session-taken-over-during-a-fault"] == scene.reached
    assert [] == quiet.reached


def test_the_leader_is_killed_with_votes_in_flight() -> None:
    scene = Scene()
    scene.noticing.fault_begins(KILLED, votes_in_flight=0)
    assert [] == scene.reached
    scene.noticing.fault_begins(KILLED, votes_in_flight=3)
    assert ["leader-killed-with-votes-in-flight"] == scene.reached


def test_a_look_says_what_the_run_knows_of_the_disk_and_how_far_sinks_are_behind_the_leader() -> None:
    sinks = {"sqlite": {"lag_versions": 3}, "mongo": {"lag_versions": None}}
    status = {"version": 9, "raft": {"role": "leader"}, "sinks": sinks}
    look = look_of("n1", 1.0, status, KnownState(is_harmed=True))
    assert (True, {"sqlite": 3, "mongo": 9}) == (look.harmed, look.sinks)
    status["raft"] = {"role": "follower"}
    assert {} == look_of("n1", 1.0, status, KnownState()).sinks


def test_a_look_tells_of_the_ids_in_the_common_share_alone() -> None:
    status = {"state": {"dedup": {"held": 2_500, "shares": {"1": 400, "3": 100}}}}
    assert 2_000 == look_of("n1", 1.0, status, KnownState()).dedup_ids
    status = {"state": {"dedup": {"held": 2_500}}}  # as 0.1.0 says it
    assert 2_500 == look_of("n1", 1.0, status, KnownState()).dedup_ids


def test_a_token_is_promised_less_than_the_window_and_the_table_is_measured_by_the_window() -> None:
    """A token with a share of its own is protected for 300,000 ids, and the window is a million."""
    for has_token, promised in ((False, 1_000_000), (True, 300_000)):
        facts = Elsewhere([], {}, 1_000_000, has_token=has_token, stopping=threading.Event()).facts
        assert (promised, 1_000_000) == (facts.window, facts.table)
