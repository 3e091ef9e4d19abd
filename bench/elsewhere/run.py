"""One run: a cluster of one system, clients and faults, the end, and what its history shows."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.elsewhere.clients import PeerClients
from bench.elsewhere.counting import Outcome, outcome_of
from bench.elsewhere.rows import ComparedWay
from quorate import __version__
from quorate.chaos.breakable import BreakableNodes
from quorate.chaos.faulting import Faulting
from quorate.chaos.history import FORMAT, End, Header, HistoryFile
from quorate.chaos.nemeses import links, partitions, processes
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.processes.waiting import NeverHappened

KINDS: Mapping[str, Nemesis[BreakableNodes[Any]]] = {
    nemesis.name: nemesis for family in (processes.NEMESES, partitions.ANYWHERE, links.NEMESES) for nemesis in family
}
FAULTS = (
    *("kill-leader", "kill-one", "kill-all", "pause-leader", "pause-follower", "stop-leader"),
    *("partition-leader", "partition-halves", "partition-deaf", "partition-mute", "partition-leader-link"),
    *("delay-leader", "loss", "reset"),
)
STRETCH = 2.0  # faults last twice as long as in `quorate chaos`: Sentinel needs two to three seconds for a failover
WINDOW = 10**9  # no id leaves any of these systems' memory during a run


def run_way(way: ComparedWay, history: Path, *, seed: int, seconds: float, faults: Sequence[str] = FAULTS) -> Outcome:
    """The nodes' folders are beside the history. Call it from a thread that lives as long as the cluster.

    Raises `NeverHappened` if the cluster does not start.
    """
    with way.open(history.with_suffix(""), seed) as cluster:
        file = HistoryFile(history)
        try:
            _run(way, cluster, file, seed, seconds, faults)
        finally:
            file.close()
    return outcome_of(history, history.parent)


def _run(
    way: ComparedWay, cluster: Any, history: HistoryFile, seed: int, seconds: float, faults: Sequence[str]
) -> None:
    clients = PeerClients(
        lambda home, chance: way.door(cluster, home, chance), history, seed=seed, seconds=seconds, resends=way.resends
    )
    way.prepare(cluster, clients.polls)
    recorder, words = clients.recorder, ""
    history.write(
        Header(
            FORMAT,
            __version__,
            seed,
            int(time.time() * 1000),
            {node.id: way.name for node in cluster.nodes},
            WINDOW,
            faults=list(faults),
            duration_s=seconds,
            is_ours=False,
        )
    )
    nemeses = {name: KINDS[name] for name in faults}
    faulting: Faulting[Any] = Faulting(
        cluster,
        nemeses,
        seed=seed,
        now=recorder.now,
        told=history.write,
        stopping=threading.Event(),
        stretch=STRETCH,
    )
    try:
        clients.start()
        try:
            faulting.run(seconds)
            faulting.heal()
        except NeverHappened as error:
            words = f"the cluster did not become whole: {str(error).splitlines()[0]}"
            print(f"{way.name}, seed {seed}: {error}", file=sys.stderr)
        clients.stop()
        words = "; ".join(each for each in (words, clients.settle()) if each)
        recorder.write_open()
        history.write(End(recorder.now(), recorder.operations, settled=not words, words=words))
    finally:
        clients.close()
