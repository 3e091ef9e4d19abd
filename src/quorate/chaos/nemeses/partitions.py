"""Partitions: connections between nodes stay open, and nothing gets through where a link is cut."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from quorate.chaos.breakable import BreakableNode, BreakableNodes
from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.late_snapshot import LateSnapshot
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.chaos.nemeses.ongoing import Ongoing, names
from quorate.chaos.toxics import Toxics, Way

AnyNodes = BreakableNodes[Any]
FLAPS_S = 0.4
Cut = tuple[Sequence[BreakableNode], list[Way], str]  # the victims, the ways that are cut, and words for it


@dataclass(frozen=True, slots=True)
class Partition:
    """`choose` says which ways are cut. With `flaps_s` they are cut and whole in turn, each time for so long."""

    name: str
    about: str
    choose: Callable[[AnyNodes, random.Random], Cut]
    size_min: int = 3
    flaps_s: float = 0.0

    def missing(self, cluster: AnyNodes) -> str | None:
        return None if len(cluster.nodes) >= self.size_min else f"it needs a cluster of at least {self.size_min}"

    def begin(self, cluster: AnyNodes, rng: random.Random) -> Ongoing:
        victims, ways, words = self.choose(cluster, rng)
        toxics = Toxics(flaps_s=self.flaps_s) if self.flaps_s else Toxics(down=True)
        return Ongoing(victims, words, cluster.links.disturb(dict.fromkeys(ways, toxics)))


def _between(some: Iterable[BreakableNode], others: Iterable[BreakableNode]) -> list[Way]:
    return [way for a in some for b in others if a is not b for way in ((a.id, b.id), (b.id, a.id))]


def leader_alone(cluster: AnyNodes, rng: random.Random) -> Cut:
    leading = choice.leader(cluster, rng)
    return leading, _between(leading, choice.others(cluster, leading)), f"{names(leading)}, which led, is cut off"


def follower_alone(cluster: AnyNodes, rng: random.Random) -> Cut:
    victim = choice.follower(cluster, rng)
    return victim, _between(victim, choice.others(cluster, victim)), f"{names(victim)} is cut off"


def leader_in_minority(cluster: AnyNodes, rng: random.Random) -> Cut:
    """The leader and as many followers as still make no majority."""
    leading = choice.leader(cluster, rng)
    some = leading + rng.sample(choice.others(cluster, leading), cluster.minority - 1)
    others = choice.others(cluster, some)
    return some, _between(some, others), f"{names(some)} with the leader are cut off from {names(others)}"


def halves(cluster: AnyNodes, rng: random.Random) -> Cut:
    some, others = choice.halves(cluster, rng)
    return some, _between(some, others), f"{names(some)} | {names(others)}"


def ring(cluster: AnyNodes, rng: random.Random) -> Cut:
    """Each node reaches a majority, and no two the same one: its neighbours in a ring."""
    order = rng.sample(cluster.nodes, len(cluster.nodes))
    reach = cluster.majority // 2
    far = [
        (a, b)
        for i, a in enumerate(order)
        for j, b in enumerate(order)
        if i != j and min((i - j) % len(order), (j - i) % len(order)) > reach
    ]
    words = f"each node reaches its neighbours only: {' '.join(node.id for node in order)}"
    return order, [(a.id, b.id) for a, b in far], words


def bridge(cluster: AnyNodes, rng: random.Random) -> Cut:
    """Two sides that only one node reaches both of."""
    between, *rest = rng.sample(cluster.nodes, len(cluster.nodes))
    half = len(rest) // 2
    return rest, _between(rest[:half], rest[half:]), f"{names(rest[:half])} | {between.id} | {names(rest[half:])}"


def leader_deaf(cluster: AnyNodes, rng: random.Random) -> Cut:
    leading = choice.leader(cluster, rng)
    ways = [(other.id, leading[0].id) for other in choice.others(cluster, leading)]
    return leading, ways, f"{names(leading)}, which leads, is heard and hears nobody"


def leader_mute(cluster: AnyNodes, rng: random.Random) -> Cut:
    leading = choice.leader(cluster, rng)
    ways = [(leading[0].id, other.id) for other in choice.others(cluster, leading)]
    return leading, ways, f"{names(leading)}, which leads, hears all and is heard by nobody"


def one_way(cluster: AnyNodes, rng: random.Random) -> Cut:
    a, b = rng.sample(cluster.nodes, 2)
    return [a, b], [(a.id, b.id)], f"nothing gets from {a.id} to {b.id}"


def one_link(cluster: AnyNodes, rng: random.Random) -> Cut:
    a, b = rng.sample(cluster.nodes, 2)
    return [a, b], _between([a], [b]), f"the link of {a.id} and {b.id} comes and goes"


def leader_and_follower(cluster: AnyNodes, rng: random.Random) -> Cut:
    leading = choice.leader(cluster, rng)
    other = rng.choice(choice.others(cluster, leading))
    both = [*leading, other]
    return (
        both,
        _between(leading, [other]),
        f"the link of {names(leading)}, which leads, and {other.id} is cut",
    )


ANYWHERE: Sequence[Nemesis[AnyNodes]] = (
    Partition("partition-leader", "the leader is cut off from all others", leader_alone),
    Partition("partition-follower", "a follower is cut off from all others", follower_alone),
    Partition("partition-minority", "the leader is cut off with a minority", leader_in_minority, size_min=5),
    Partition("partition-halves", "two sides at random", halves),
    Partition("partition-ring", "each node reaches a majority, each another one", ring, size_min=5),
    Partition("partition-bridge", "one node reaches both sides, which do not reach each other", bridge),
    Partition("partition-deaf", "the leader is heard by all and hears nobody", leader_deaf),
    Partition("partition-mute", "the leader hears all and is heard by nobody", leader_mute),
    Partition("partition-one-way", "nothing gets from one node to another one", one_way),
    Partition("partition-leader-link", "the leader and one follower do not reach each other", leader_and_follower),
    Partition("flapping-link", "one link comes and goes", one_link, flaps_s=FLAPS_S),
)
NEMESES: Sequence[Nemesis[ChaosCluster]] = (*ANYWHERE, LateSnapshot())
