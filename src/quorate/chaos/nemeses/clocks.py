"""Wall clocks that jump and drift. The monotonic clock of a process is left alone, as the system leaves it alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.choice import Choice
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.chaos.nemeses.ongoing import Ongoing, names

FAR_S, NEAR_S = (60.0, 86_400.0), (0.5, 5.0)


@dataclass(frozen=True, slots=True)
class BadClock:
    name: str
    about: str
    chosen: Choice
    orders: Callable[[random.Random], Mapping[str, float]]

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        victims, orders = self.chosen(cluster, rng), self.orders(rng)
        for node in victims:
            cluster.victims.order(node.folder, **orders)

        def mend() -> None:
            for node in victims:
                cluster.victims.take_back(node.folder, *orders)

        shown = ", ".join(f"{name} {value:.3g}" for name, value in orders.items() if name != "drifts_from_s")
        return Ongoing(victims, f"the clock of {names(victims)}: {shown}", mend)


def _drift(rng: random.Random) -> Mapping[str, float]:
    return {"drift": rng.choice((-1, 1)) * rng.uniform(0.05, 0.5), "drifts_from_s": time.time()}


NEMESES: Sequence[Nemesis[ChaosCluster]] = (
    BadClock("clock-forth", "a node's clock jumps forth", choice.one, lambda rng: {"ahead_s": rng.uniform(*FAR_S)}),
    BadClock("clock-back", "a node's clock jumps back", choice.one, lambda rng: {"ahead_s": -rng.uniform(*FAR_S)}),
    BadClock(
        "clock-leader",
        "the leader's clock jumps by some seconds",
        choice.leader,
        lambda rng: {"ahead_s": rng.choice((-1, 1)) * rng.uniform(*NEAR_S)},
    ),
    BadClock("clock-drift", "the clocks of a minority run too fast or too slow", choice.minority, _drift),
)
