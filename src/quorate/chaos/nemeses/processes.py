"""Processes that die, stand still, or are stopped as an operator stops them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from quorate.chaos.breakable import BreakableNode, BreakableNodes
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.choice import Choice
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.chaos.nemeses.ongoing import Ongoing, is_or_are, names
from quorate.processes.node import EndedAtStart
from quorate.processes.waiting import NeverHappened, wait_for

AnyNodes = BreakableNodes[Any]
READY_S = 30.0


@dataclass(frozen=True, slots=True)
class TakenDown:
    """`act` is done to the chosen nodes, and `mend` when the fault ends. `done` is what they are then: "killed"."""

    name: str
    about: str
    chosen: Choice
    done: str
    act: Callable[[AnyNodes, Sequence[BreakableNode]], object]
    mend: Callable[[AnyNodes, Sequence[BreakableNode]], object] = BreakableNodes.start_again

    def missing(self, cluster: AnyNodes) -> str | None:
        return None

    def begin(self, cluster: AnyNodes, rng: random.Random) -> Ongoing:
        victims = self.chosen(cluster, rng)
        self.act(cluster, victims)
        words = f"{names(victims)} {is_or_are(victims)} {self.done}"
        return Ongoing(victims, words, partial(self.mend, cluster, victims))


@dataclass(frozen=True, slots=True)
class RollingRestart:
    """One node is stopped when the fault begins; when it ends, that one is started and the others follow in turn."""

    name: str = "rolling-restart"
    about: str = "SIGTERM to each node, one after another, each started again before the next is stopped"

    def missing(self, cluster: AnyNodes) -> str | None:
        return None

    def begin(self, cluster: AnyNodes, rng: random.Random) -> Ongoing:
        order = choice.everyone(cluster, rng)
        stop(order[0])
        return Ongoing(order, f"{names(order)} restart in turn", partial(_roll, cluster, order))


def _roll(cluster: AnyNodes, order: Sequence[BreakableNode]) -> None:
    for number, node in enumerate(order):
        if number:
            stop(node)
        cluster.start_again([node])
        if not becomes_ready(node):
            return


def stop_each(cluster: AnyNodes, victims: Sequence[BreakableNode]) -> None:
    """An orderly stop under load. A node that is stopped answers what it was asked, and hands leadership over."""
    for node in victims:
        stop(node)


def stop(node: BreakableNode) -> None:
    """As an operator would, and with a kill if it does not end."""
    try:
        node.stop()
    except NeverHappened:
        node.kill()


def becomes_ready(node: BreakableNode, deadline_s: float = READY_S) -> bool:
    try:
        wait_for(f"{node.id} is ready", node.is_ready, deadline_s=deadline_s)
    except (NeverHappened, EndedAtStart):
        return False
    return True


NEMESES: Sequence[Nemesis[AnyNodes]] = (
    TakenDown("kill-one", "kill -9 of any node", choice.one, "killed", BreakableNodes.kill),
    TakenDown("kill-leader", "kill -9 of the leader", choice.leader, "killed", BreakableNodes.kill),
    TakenDown("kill-follower", "kill -9 of a follower", choice.follower, "killed", BreakableNodes.kill),
    TakenDown(
        "kill-minority",
        "kill -9 of as many nodes as the cluster can do without",
        choice.minority,
        "killed",
        BreakableNodes.kill,
    ),
    TakenDown("kill-majority", "kill -9 of a majority at once", choice.majority, "killed", BreakableNodes.kill),
    TakenDown("kill-all", "kill -9 of all nodes at once", choice.everyone, "killed", BreakableNodes.kill),
    TakenDown(
        "pause-leader",
        "SIGSTOP of the leader, then SIGCONT",
        choice.leader,
        "paused",
        BreakableNodes.pause,
        BreakableNodes.resume,
    ),
    TakenDown(
        "pause-follower",
        "SIGSTOP of a follower, then SIGCONT",
        choice.follower,
        "paused",
        BreakableNodes.pause,
        BreakableNodes.resume,
    ),
    TakenDown(
        "pause-minority",
        "SIGSTOP of as many nodes as the cluster can do without",
        choice.minority,
        "paused",
        BreakableNodes.pause,
        BreakableNodes.resume,
    ),
    TakenDown("stop-leader", "SIGTERM to the leader under load", choice.leader, "stopped", stop_each),
    TakenDown("stop-follower", "SIGTERM to a follower under load", choice.follower, "stopped", stop_each),
    RollingRestart(),
)
