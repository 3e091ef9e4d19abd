"""The cluster of a run's own: its nodes, what is broken in it, and the faults that can work in it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.faulting import BrokenNow, Faulting
from quorate.chaos.history import Fault
from quorate.chaos.nemeses.all import ALL, FAMILIES
from quorate.chaos.reachable import asked_of
from quorate.chaos.run import Facts
from quorate.chaos.workload.exchange import AskedNode
from quorate.chaos.workload.node_looks import KnownState
from quorate.chaos.workload.queue_voter import QueuePlace
from quorate.chaos.workload.sink_looks import SinkRows

WINDOW = 300_000  # votes.dedup_window: a long run goes through it several times
SETTINGS = {"votes.dedup_window": WINDOW}
NETWORK = ("partitions", "links")  # families of nemeses


class OwnCluster:
    """`cluster` has started. `faults` are names of nemeses that can work in it."""

    def __init__(
        self, cluster: ChaosCluster, faults: Sequence[str], *, seed: int, duration_s: float, stopping: threading.Event
    ) -> None:
        self.nodes = [
            AskedNode(node.id, node.place.http.host, node.place.http.port, redis=node.place.resp)
            for node in cluster.nodes
        ]
        self.sinks: Sequence[SinkRows] = cluster.services.sinks(cluster.sqlite)
        self.queue: QueuePlace | None = cluster.services.queue()
        urls = {node.id: node.url for node in cluster.nodes}
        self.facts = Facts(urls, WINDOW, True, faults, asked_of(faults, duration_s), SETTINGS)
        self._cluster, self._seed, self._stopping = cluster, seed, stopping
        self._faulting: Faulting[ChaosCluster] | None = None

    def known(self, node: str) -> KnownState:
        memory = 0
        with contextlib.suppress(OSError, ValueError):
            memory = self._cluster[node].memory_bytes()
        cluster = self._cluster
        is_harmed = node in cluster.harmed()
        return KnownState(
            node in cluster.down(), node in cluster.paused(), node in cluster.cut_off(), memory, is_harmed
        )

    def is_network(self, fault: str) -> bool:
        return any(nemesis.name == fault for family in NETWORK for nemesis in FAMILIES[family])

    def broken(self) -> Sequence[BrokenNow]:
        return self._faulting.broken() if self._faulting is not None else ()

    def troubles(self) -> Sequence[str]:
        return self._faulting.troubles if self._faulting is not None else ()

    def disturb(self, told: Callable[[Fault], None], now: Callable[[], float], until: float) -> None:
        if not self.facts.faults:
            self._stopping.wait(max(0.0, until - now()))
            return
        nemeses = {name: ALL[name] for name in self.facts.faults}
        self._faulting = Faulting(self._cluster, nemeses, seed=self._seed, now=now, told=told, stopping=self._stopping)
        self._faulting.run(until)

    def mend(self) -> None:
        self._cluster.heal()
