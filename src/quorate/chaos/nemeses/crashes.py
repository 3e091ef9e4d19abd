"""Death, or standing still, at a chosen place of the code: see `crash_points.py`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.chaos.nemeses.ongoing import Ongoing
from quorate.chaos.nemeses.paused_flush import LeaderPausedInFlush
from quorate.crash_points import POINTS

COUNT_MAX = 30


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One node is told to die at a point. If it does not come there while the fault lasts, it does not die."""

    name: str = "crash-point"
    about: str = "a node dies at a place of the code that is chosen at random"

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        (node,) = choice.one(cluster, rng)
        point, count = rng.choice(POINTS), rng.randint(1, COUNT_MAX)
        cluster.victims.crash(node.folder, point, count)

        def mend() -> None:
            cluster.victims.take_back(node.folder, "crash")
            cluster.start_again([node])

        return Ongoing([node], f"{node.id} dies at its {count}. time at {point}", mend)


NEMESES: Sequence[Nemesis[ChaosCluster]] = (CrashPoint(), LeaderPausedInFlush())
