"""The faults of a random history: the shapes of networks that they leave, and the knob that makes one likelier."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.simulation import faults
from tests.simulation.breaking import break_things
from tests.simulation.cluster import SimCluster, virtual_time
from tests.simulation.fault_shares import FAULT_SHARES, WHOLE_SHARES
from tests.simulation.operations import OPERATIONS
from tests.simulation.operator_tasks import ACTS
from tests.simulation.schedule import Schedule, Step, drawn


def _reached(cluster: SimCluster) -> dict[str, set[str]]:
    """Which peers each node exchanges messages with, in both directions."""
    network, names = cluster.network, cluster.names
    return {
        a: {
            b
            for b in names
            if a != b
            and frozenset((a, b)) not in network.cut
            and not max(network.loss.get((a, b), 0.0), network.loss.get((b, a), 0.0))
        }
        for a in names
    }


def _after(act: faults.Act, seed: int) -> dict[str, set[str]]:
    async def run() -> dict[str, set[str]]:
        cluster = SimCluster(seed)
        await act(cluster, random.Random(seed))
        return _reached(cluster)

    with virtual_time() as runner:
        return runner.run(run())


@pytest.mark.parametrize("seed", range(5))
def test_in_a_ring_each_node_reaches_two_neighbours(seed: int) -> None:
    reached = _after(faults._ring, seed)
    assert [2] * 5 == [len(peers) for peers in reached.values()]
    seen, at = set(), "a"
    while at not in seen:
        seen.add(at)
        at = min(reached[at] - seen, default=at)
    assert set("abcde") == seen, "one ring"


@pytest.mark.parametrize("seed", range(5))
def test_over_a_bridge_one_node_reaches_all_others_and_these_only_their_own_group(seed: int) -> None:
    assert {2: 4, 4: 1} == Counter(len(peers) for peers in _after(faults._bridge, seed).values())


def test_a_factor_makes_a_fault_likelier() -> None:
    def rings(likelier: dict[str, float]) -> int:
        return sum(step.what == "ring" for seed in range(50) for step in drawn(seed, likelier=likelier).steps)

    assert rings({"ring": 20.0}) > 5 * rings({})
    assert 0 == rings({"ring": 0.0})


def test_no_fault_begins_while_the_operator_asks_for_calm() -> None:
    async def cuts(*, calm: bool) -> bool:
        cluster = SimCluster(1)
        cluster.calm = calm
        await break_things(cluster, Schedule(1, steps=(Step(1, 1.0, "ring"),)))
        return bool(cluster.network.cut or cluster.network.loss)

    with virtual_time() as runner:
        assert runner.run(cuts(calm=False))
        assert not runner.run(cuts(calm=True))


def test_the_shares_leave_room_for_steps_in_which_nothing_happens() -> None:
    assert sum(FAULT_SHARES.values()) < 0.6
    assert FAULT_SHARES.keys() | WHOLE_SHARES.keys() == faults.FAULTS.keys()
    assert set(OPERATIONS) == ACTS.keys()
