"""What a leader tells of its steps is put into the follower's own time, and never outside of its call."""

from __future__ import annotations

from quorate.cluster.submit.departures import LeaderStep
from quorate.cluster.submit.traced import STEPS_MAX, note_leader
from quorate.tracing import TracedStep


def test_the_leader_steps_lie_in_the_middle_of_the_call() -> None:
    forward = TracedStep("forward", 10.0, 10.1)
    note_leader(forward, "n1", [LeaderStep("wait", 0, 1_000), LeaderStep("apply", 30_000, 40_000)])
    seen = [(step.name, round(step.began_s, 6), round(step.ended_s, 6)) for step in forward.inner]
    assert [("wait", 10.03, 10.031), ("apply", 10.06, 10.07)] == seen
    assert [{"quorate.node": "n1"}] * 2 == [step.attributes for step in forward.inner]


def test_what_cannot_be_is_cut_to_the_call() -> None:
    forward = TracedStep("forward", 10.0, 10.1)
    note_leader(forward, "n1", [LeaderStep("long" * 99, -(10**15), 10**15)] * 99)
    assert STEPS_MAX == len(forward.inner)
    assert all(10.0 <= step.began_s <= step.ended_s <= 10.1 and len(step.name) < 99 for step in forward.inner)
