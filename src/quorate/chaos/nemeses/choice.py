"""Whom a fault hits: nodes chosen by their role when it begins. All raise `NotNow` if there is no such node."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses.nemesis import NotNow
from quorate.processes.node import NodeProcess

Choice = Callable[[ChaosCluster, random.Random], list[NodeProcess]]
LEADER_S = 4.0  # after the last fault a leader may have yet to be elected


def leader(cluster: ChaosCluster, rng: random.Random) -> list[NodeProcess]:
    end_s = time.monotonic() + LEADER_S
    while (found := cluster.leader_now()) is None:
        if time.monotonic() > end_s:
            raise NotNow("no node leads")
        time.sleep(0.05)
    return [found]


def follower(cluster: ChaosCluster, rng: random.Random) -> list[NodeProcess]:
    (leading,) = leader(cluster, rng)
    return _some([node for node in cluster.up() if node is not leading], 1, rng)


def one(cluster: ChaosCluster, rng: random.Random) -> list[NodeProcess]:
    return _some(cluster.up(), 1, rng)


def minority(cluster: ChaosCluster, rng: random.Random) -> list[NodeProcess]:
    """As many nodes as the cluster can do without; those that are down already count."""
    return _some(cluster.up(), cluster.minority - (len(cluster.nodes) - len(cluster.up())), rng)


def majority(cluster: ChaosCluster, rng: random.Random) -> list[NodeProcess]:
    return _some(cluster.up(), min(cluster.majority, len(cluster.up())), rng)


def everyone(cluster: ChaosCluster, rng: random.Random) -> list[NodeProcess]:
    return _some(cluster.up(), len(cluster.up()), rng)


def others(cluster: ChaosCluster, some: list[NodeProcess]) -> list[NodeProcess]:
    return [node for node in cluster.nodes if node not in some]


def halves(cluster: ChaosCluster, rng: random.Random) -> tuple[list[NodeProcess], list[NodeProcess]]:
    """Two sides at random; the first is as large as it can be without being a majority."""
    mixed = rng.sample(cluster.nodes, len(cluster.nodes))
    return mixed[: cluster.minority], mixed[cluster.minority :]


def _some(nodes: list[NodeProcess], count: int, rng: random.Random) -> list[NodeProcess]:
    if count < 1 or len(nodes) < count:
        raise NotNow("too few nodes are up")
    return rng.sample(nodes, count)
