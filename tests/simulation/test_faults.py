"""The faults of a random history: the shapes of networks that they leave, and the knob that makes one likelier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from tests.simulation import faults
from tests.simulation.cluster import SimCluster, virtual_time


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


def _after(act: Callable[[SimCluster], Awaitable[None]], seed: int) -> dict[str, set[str]]:
    async def run() -> dict[str, set[str]]:
        cluster = SimCluster(seed)
        await act(cluster)
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


def test_a_factor_makes_a_fault_likelier_and_calm_ends_all() -> None:
    async def drawn(likelier: dict[str, float], *, calm: bool) -> int:
        cluster = SimCluster(1)
        cluster.likelier, cluster.calm = likelier, calm
        cuts = 0
        for _ in range(200):
            await faults.draw_fault(cluster)
            cuts += bool(cluster.network.cut)
            cluster.network.cut = set()
        return cuts

    with virtual_time() as runner:
        usual = runner.run(drawn({}, calm=False))
        likely = runner.run(drawn({"ring": 20.0}, calm=False))
        calm = runner.run(drawn({"ring": 20.0}, calm=True))
    assert 0 == calm
    assert likely > 2 * usual


def test_the_shares_leave_room_for_steps_in_which_nothing_happens() -> None:
    assert sum(fault.share for fault in faults.FAULTS) < 0.6
    assert len({fault.name for fault in faults.FAULTS}) == len(faults.FAULTS)
