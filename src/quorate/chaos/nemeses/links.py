"""Links that are bad and not cut: slow, narrow, lossy, out of order, or broken again and again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quorate.chaos.breakable import BreakableNodes
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.choice import Choice
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.chaos.nemeses.ongoing import Ongoing, names
from quorate.chaos.toxics import Toxics

AnyNodes = BreakableNodes[Any]


@dataclass(frozen=True, slots=True)
class BadLinks:
    """All links of the chosen nodes have these toxics."""

    name: str
    about: str
    chosen: Choice
    toxics: Toxics

    def missing(self, cluster: AnyNodes) -> str | None:
        return cluster.links.missing(self.toxics)

    def begin(self, cluster: AnyNodes, rng: random.Random) -> Ongoing:
        victims = self.chosen(cluster, rng)
        ways = cluster.links.ways([node.id for node in victims], [node.id for node in cluster.nodes])
        return Ongoing(
            victims,
            f"links of {names(victims)}: {self.about}",
            cluster.links.disturb(dict.fromkeys(ways, self.toxics)),
        )


NEMESES: Sequence[Nemesis[AnyNodes]] = (
    BadLinks("loss", "a fifth of what is sent is lost and sent again", choice.everyone, Toxics(loss=0.2)),
    BadLinks("delay", "each message takes 80 ms more", choice.everyone, Toxics(latency_s=0.08)),
    BadLinks("jitter", "messages take up to 150 ms more", choice.everyone, Toxics(latency_s=0.075, jitter_s=0.075)),
    BadLinks("delay-leader", "the leader is 250 ms away", choice.leader, Toxics(latency_s=0.25)),
    BadLinks("bandwidth", "the leader has 100 kB a second", choice.leader, Toxics(bandwidth_bytes_s=100_000)),
    BadLinks("reordering", "later messages come before earlier ones", choice.everyone, Toxics(reordering=0.02)),
    BadLinks("reset", "connections are reset after 300 ms", choice.everyone, Toxics(reset_peer_s=0.3)),
    BadLinks("timeout", "nothing gets to the leader, and its links close", choice.leader, Toxics(timeout_s=0.5)),
    BadLinks("slicer", "everything comes in pieces of 300 bytes", choice.one, Toxics(slicer_bytes=300)),
    BadLinks("limit-data", "connections end after 200 kB", choice.everyone, Toxics(limit_data_bytes=200_000)),
    BadLinks("slow-close", "the end of a connection is told late", choice.everyone, Toxics(slow_close_s=1.0)),
)
