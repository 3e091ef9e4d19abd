"""Changes of the members under load: nodes that join, leave, come back and move, and leadership handed on and on."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.nemesis import Nemesis, NotNow
from quorate.chaos.nemeses.ongoing import Ongoing
from quorate.chaos.nemeses.processes import becomes_ready, stop
from quorate.chaos.repair import bring_back, empty
from quorate.errors import QuorateError
from quorate.processes.node import NodeProcess

CHANGE_S = 10.0
CALL_S = 3.0
AGAIN_S = 0.2
LEAVES_S = 2.0  # a node that was removed ends by itself, if it has met the others


@dataclass(frozen=True, slots=True)
class AddNode:
    """One more node joins; when the fault ends it is removed again."""

    name: str = "add-node"
    about: str = "one more node joins under load, and is removed again"

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        node = cluster.newcomer()
        cluster.start_again([node])
        if not change(cluster, "add", node):
            cluster.dismiss(node)
            raise NotNow(f"{node.id} could not be added")

        def mend() -> None:
            change(cluster, "remove", node)
            _wait_ended(node)
            cluster.dismiss(node)

        return Ongoing([node], f"{node.id} joins", mend, needs_others=True)


@dataclass(frozen=True, slots=True)
class RemoveNode:
    """A follower is removed; when the fault ends it joins again, with an empty disk."""

    name: str = "remove-node"
    about: str = "a follower is removed under load, and joins again with an empty disk"

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        (node,) = choice.follower(cluster, rng)
        choice.check_spared(cluster, node)
        cluster.harm(node)
        if not change(cluster, "remove", node):
            raise NotNow(f"{node.id} could not be removed")
        return Ongoing([node], f"{node.id} is removed", lambda: _join_again(cluster, node), needs_others=True)


@dataclass(frozen=True, slots=True)
class TransferStorm:
    """Leadership is handed over as often as the cluster can."""

    name: str = "transfer-storm"
    about: str = "leadership is handed over again and again"

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        leading, ending = choice.leader(cluster, rng), threading.Event()

        def run() -> None:
            with cluster.client(CALL_S) as client:
                while not ending.is_set():
                    with contextlib.suppress(QuorateError, OSError):
                        client.transfer_leadership()
                    ending.wait(AGAIN_S)

        storm = threading.Thread(target=run, name="transfer-storm", daemon=True)
        storm.start()

        def mend() -> None:
            ending.set()
            storm.join(2 * CALL_S)

        return Ongoing(leading, "leadership is handed on and on", mend)


@dataclass(frozen=True, slots=True)
class Move:
    name: str = "move-node"
    about: str = "a node comes back at another address, and nobody else is told"

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        (node,) = choice.one(cluster, rng)
        stop(node)
        address = cluster.move(node)
        cluster.start_again([node])
        return Ongoing([node], f"{node.id} is at {address} now", lambda: _ready_or_not(node))


def change(cluster: ChaosCluster, action: str, node: NodeProcess, deadline_s: float = CHANGE_S) -> bool:
    """Whether the members are changed, after as many attempts as fit."""
    raft, end_s = cluster.address(node) if action == "add" else None, time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        with contextlib.suppress(QuorateError, OSError), cluster.client(CALL_S) as client:
            shown = {member["id"] for member in client.change_members(action, node.id, raft)}
            if (node.id in shown) == (action == "add"):
                return True
        time.sleep(AGAIN_S)
    return False


def _join_again(cluster: ChaosCluster, node: NodeProcess) -> None:
    _wait_ended(node)
    if node.running:
        cluster.kill([node])
    empty(node.folder)
    cluster.start_again([node])
    change(cluster, "add", node)
    bring_back(cluster, node)


def _wait_ended(node: NodeProcess) -> None:
    end_s = time.monotonic() + LEAVES_S
    while node.running and time.monotonic() < end_s:
        time.sleep(0.05)


def _ready_or_not(node: NodeProcess) -> None:
    becomes_ready(node, deadline_s=CHANGE_S)


NEMESES: Sequence[Nemesis[ChaosCluster]] = (AddNode(), RemoveNode(), TransferStorm(), Move())
