"""Whom a fault hits: nodes chosen by their role when it begins. All raise `NotNow` if there is no such node."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from quorate.chaos.breakable import BreakableNodes, P
from quorate.chaos.nemeses.nemesis import NotNow

Choice = Callable[[BreakableNodes[Any], random.Random], list[Any]]
LEADER_S = 4.0  # after the last fault a leader may have yet to be elected


def leader(cluster: BreakableNodes[P], rng: random.Random) -> list[P]:
    end_s = time.monotonic() + LEADER_S
    while (found := cluster.leader_now()) is None:
        if time.monotonic() > end_s:
            raise NotNow("no node leads")
        time.sleep(0.05)
    return [found]


def follower(cluster: BreakableNodes[P], rng: random.Random) -> list[P]:
    (leading,) = leader(cluster, rng)
    return _some([node for node in cluster.up() if node is not leading], 1, rng)


def one(cluster: BreakableNodes[P], rng: random.Random) -> list[P]:
    return _some(cluster.up(), 1, rng)


def minority(cluster: BreakableNodes[P], rng: random.Random) -> list[P]:
    """As many nodes as the cluster can do without; those that are down already count."""
    return _some(cluster.up(), cluster.minority - (len(cluster.nodes) - len(cluster.up())), rng)


def majority(cluster: BreakableNodes[P], rng: random.Random) -> list[P]:
    return _some(cluster.up(), min(cluster.majority, len(cluster.up())), rng)


def everyone(cluster: BreakableNodes[P], rng: random.Random) -> list[P]:
    return _some(cluster.up(), len(cluster.up()), rng)


def check_spared(cluster: BreakableNodes[P], node: P) -> None:
    """Raises `NotNow` if the others are no majority at the moment: then nothing would happen while this one is away."""
    cut_off = cluster.cut_off()
    left = [each for each in cluster.up() if each is not node and each.id not in cut_off]
    if len(left) < cluster.majority:
        raise NotNow(f"the cluster cannot do without {node.id} now")


def others(cluster: BreakableNodes[P], some: list[P]) -> list[P]:
    return [node for node in cluster.nodes if node not in some]


def halves(cluster: BreakableNodes[P], rng: random.Random) -> tuple[list[P], list[P]]:
    """Two sides at random; the first is as large as it can be without being a majority."""
    mixed = rng.sample(cluster.nodes, len(cluster.nodes))
    return mixed[: cluster.minority], mixed[cluster.minority :]


def _some(nodes: list[P], count: int, rng: random.Random) -> list[P]:
    if count < 1 or len(nodes) < count:
        raise NotNow("too few nodes are up")
    return rng.sample(nodes, count)
