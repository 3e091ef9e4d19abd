"""Schedules: steps that can be left out, their text, and the smallest one that still fails."""

from __future__ import annotations

import contextlib

import msgspec
import pytest

from quorate import crash_points
from quorate.cluster.entry import CreatePoll
from quorate.errors import QuorateError
from tests.simulation import deaths
from tests.simulation.cluster import SimCluster, virtual_time
from tests.simulation.history import play
from tests.simulation.schedule import Schedule, Step, drawn, parse
from tests.simulation.shrinking import Shrinking


def test_the_text_of_a_schedule_is_the_schedule() -> None:
    schedule = drawn(11)
    assert schedule.steps
    assert schedule == parse(schedule.text())


def test_a_step_has_the_same_random_numbers_whatever_else_is_left_out() -> None:
    schedule = drawn(11)
    less = msgspec.structs.replace(schedule, steps=schedule.steps[3:], names="abcdefg", polls=not schedule.polls)
    step = schedule.steps[5]
    assert step in less.steps
    assert schedule.random(step.number).random() == less.random(step.number).random()


def test_only_what_matters_is_left_of_a_schedule() -> None:
    """Here it fails with two of its steps together, with five nodes, and with late messages."""
    schedule = msgspec.structs.replace(drawn(3, "abcdefg", seconds=20), late=0.02, polls=True, repeated=0.01)
    first, second = schedule.steps[7], schedule.steps[40]

    def fails(candidate: Schedule) -> bool:
        both = {first, second} <= set(candidate.steps)
        return both and len(candidate.names) >= 5 and bool(candidate.late)

    small = Shrinking(fails).shrink(schedule)
    assert (first, second) == small.steps
    assert "abcde" == small.names
    assert 0.02 == small.late
    assert not small.polls
    assert 0.0 == small.repeated
    assert small.seconds < second.at_s + 1


def test_a_history_is_made_small_until_one_step_is_left() -> None:
    """A real history: a leader that was killed is called the failure."""
    schedule = drawn(1, "abc", seconds=4, likelier={"crash-all": 10.0})
    assert play(schedule).seen["leader killed"]
    small = Shrinking(lambda candidate: bool(play(candidate).seen["leader killed"]), tries=60).shrink(schedule)
    assert 1 == len(small.steps)
    assert play(small).seen["leader killed"]


def test_a_history_that_does_not_come_to_its_end_is_broken_and_says_so() -> None:
    schedule = Schedule(1, "abc", 3.0, (Step(1, 1.5, "no such fault"),))
    assert ["KeyError('no such fault')"] == play(schedule).broken


async def _create(cluster: SimCluster) -> None:
    leader = cluster.leader()
    assert leader is not None
    submitter = cluster.nodes[leader].submitter
    assert submitter is not None
    with contextlib.suppress(QuorateError), deaths.as_client_of(leader):
        await submitter.create_poll(CreatePoll("mood", "", ["happy"], "open", None, False), timeout_s=2)


@pytest.mark.parametrize("point", ["journal-before-write", "batch-proposed", "promise-before-send"])
def test_only_the_node_that_reaches_a_crash_point_dies(point: str) -> None:
    async def run() -> tuple[list[str], dict[str, int]]:
        cluster = SimCluster(1, "abc")
        for name in cluster.names:
            await cluster.start(name)
        await cluster.until(cluster.leader, 20, "a leader")
        died: list[str] = []

        def reached() -> None:
            name = deaths.RUNNING.get()
            if cluster.die_at(name, point):
                died.append(name)
                raise deaths.NodeDied(point)

        crash_points.arm(point, 1, reached)
        asked = cluster.loop.create_task(_create(cluster))
        await cluster.until(lambda: died, 20, "a death")
        await cluster.until(lambda: cluster.nodes[died[0]].replica is None, 1, "its end")
        await asked
        assert sorted({*cluster.names} - {*died}) == cluster.up()
        await cluster.start(died[0])
        await cluster.until(lambda: len({cluster.status(name).term for name in cluster.names}) == 1, 20, "one term")
        return died, dict(cluster.seen)

    with virtual_time() as runner:
        died, seen = runner.run(run())
    assert 1 == len(died)
    assert 1 == seen[f"died at {point}"]
