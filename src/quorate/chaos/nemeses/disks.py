"""Disks that are full, slow, hang or fail, and power cuts. What was never synced is lost, and nothing else."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.choice import Choice
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.chaos.nemeses.ongoing import Ongoing, is_or_are, names
from quorate.processes.node import NodeProcess

HELD_BACK_S = (0.1, 0.5)  # of unsynced writes that a power cut may lose


@dataclass(frozen=True, slots=True)
class BadDisk:
    """`orders` are what the victims are told. A node whose disk fails stops itself, and is started again."""

    name: str
    about: str
    chosen: Choice
    words: str
    orders: Callable[[random.Random], Mapping[str, Any]]

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        victims, orders = self.chosen(cluster, rng), self.orders(rng)
        for node in victims:
            cluster.victims.order(node.folder, **orders)

        def mend() -> None:
            for node in victims:
                cluster.victims.take_back(node.folder, *orders)
            cluster.start_again(victims)

        return Ongoing(victims, f"the disk of {names(victims)} {self.words}", mend)


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The disks hold back what is not synced for a moment, then the nodes die at once."""

    name: str
    about: str
    chosen: Choice

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        victims = self.chosen(cluster, rng)
        for node in victims:
            cluster.victims.order(node.folder, holds_back=True)
        time.sleep(rng.uniform(*HELD_BACK_S))
        cluster.kill(victims)
        for node in victims:
            cluster.victims.take_back(node.folder, "holds_back")
        return Ongoing(victims, f"{names(victims)} {is_or_are(victims)} without power", _start(cluster, victims))


def _start(cluster: ChaosCluster, victims: Sequence[NodeProcess]) -> Callable[[], None]:
    return lambda: cluster.start_again(victims)


NEMESES: Sequence[Nemesis[ChaosCluster]] = (
    BadDisk("disk-full", "the disk of a node takes no more", choice.one, "is full", lambda rng: {"room_bytes": 0}),
    BadDisk(
        "disk-slow",
        "each sync of any one disk takes up to a quarter of a second more",
        choice.one,
        "is slow",
        lambda rng: {"sync_delay_s": rng.uniform(0.02, 0.25)},
    ),
    BadDisk(
        "disk-slow-all",
        "each sync of every disk takes up to 50 ms more",
        choice.everyone,
        "is slow",
        lambda rng: {"sync_delay_s": rng.uniform(0.01, 0.05)},
    ),
    BadDisk("disk-hangs", "the leader's disk hangs", choice.leader, "hangs", lambda rng: {"hangs": True}),
    BadDisk("disk-fails", "each sync of a node fails", choice.one, "fails", lambda rng: {"sync_fails": True}),
    PowerCut("power-cut", "a node loses its power, and with it what was not synced", choice.one),
    PowerCut("power-cut-leader", "the leader loses its power", choice.leader),
    PowerCut("power-cut-all", "all nodes lose their power at once", choice.everyone),
)
