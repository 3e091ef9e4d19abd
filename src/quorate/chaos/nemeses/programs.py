"""Nodes that are another version of Quorate, or run on another Python: they change to it under load, and back."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.choice import Choice
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.chaos.nemeses.ongoing import Ongoing, is_or_are, names
from quorate.chaos.nemeses.processes import becomes_ready, stop
from quorate.processes.node import NodeProcess

MISSING = "no other program is given: see --mixed-with"
Mend = Callable[[ChaosCluster, Sequence[NodeProcess]], object]


def change(cluster: ChaosCluster, nodes: Sequence[NodeProcess], python: str) -> None:
    """Restart each as the other program, or as our own again, one after another, as in an upgrade.

    It ends early if a node does not become ready: then something else is broken meanwhile.
    """
    for node in nodes:
        stop(node)
        cluster.set_program(node, python)
        cluster.start_again([node])
        if not becomes_ready(node):
            return


def back(cluster: ChaosCluster, nodes: Sequence[NodeProcess]) -> None:
    change(cluster, nodes, cluster.own_python)


def there_and_back(cluster: ChaosCluster, nodes: Sequence[NodeProcess]) -> None:
    """The first one is the other program already."""
    assert cluster.other is not None
    change(cluster, nodes[1:], cluster.other.python)
    back(cluster, nodes)


@dataclass(frozen=True, slots=True)
class Changed:
    """`first` are the other program when the fault begins, and all of `chosen` are ours again when it has ended."""

    name: str
    about: str
    chosen: Choice
    first: int | None  # None: all that were chosen
    mend: Mend

    def missing(self, cluster: ChaosCluster) -> str | None:
        return MISSING if cluster.other is None else None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        assert cluster.other is not None
        nodes = self.chosen(cluster, rng)
        first = nodes[: self.first]
        change(cluster, first, cluster.other.python)
        words = f"{names(first)} {is_or_are(first)} {cluster.other.words}"
        return Ongoing(nodes, words, partial(self.mend, cluster, nodes), needs_others=True)


NEMESES: Sequence[Nemesis[ChaosCluster]] = (
    Changed("mixed-minority", "as many nodes as may fail are the other program", choice.minority, None, back),
    Changed("mixed-leader", "the leader is restarted as the other program", choice.leader, None, back),
    Changed("mixed-upgrade", "all nodes become it in turn, and go back", choice.everyone, 1, there_and_back),
)
