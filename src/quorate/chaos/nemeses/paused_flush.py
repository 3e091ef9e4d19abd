"""A leader that stands still between the tally that it took and its write to a sink, and goes on after it was replaced.

By then its successor has written to the sink. What the old leader writes at last must change nothing: its fence is
older. A pause at any moment meets this one only by luck, because a flush takes milliseconds.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.nemesis import NotNow
from quorate.chaos.nemeses.ongoing import Ongoing
from quorate.chaos.workload.node_looks import EVERY_S as LOOK_EVERY_S
from quorate.crash_points import Point
from quorate.processes.node import NodeProcess

BEFORE_WRITE: Point = "flush-before-write"
STANDS_STILL_S = 3.0
REPLACED_S = 8.0
REFUSED_S = 3.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class LeaderPausedInFlush:
    name: str = "leader-paused-in-flush"
    about: str = "the leader stands still in the middle of a flush until its successor has flushed"

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        (leading,) = choice.leader(cluster, rng)
        choice.check_spared(cluster, leading)
        refused = _refused(leading)
        cluster.victims.crash(leading.folder, BEFORE_WRITE, stops=True)
        try:
            if not _within(STANDS_STILL_S, lambda: _stands_still(leading)):
                raise NotNow(f"{leading.id} came to no flush")
        finally:
            cluster.victims.take_back(leading.folder, "crash")
            if _stands_still(leading):
                cluster.pause([leading])
        others = [node for node in cluster.up() if node is not leading]
        if not _within(REPLACED_S, lambda: any(_flushes(node) for node in others)):
            cluster.resume([leading])
            raise NotNow(f"nobody took the place of {leading.id}")

        def mend() -> None:
            cluster.resume([leading])
            if _within(REFUSED_S, lambda: _refused(leading) > refused):
                time.sleep(LOOK_EVERY_S)  # so that the run sees it, too, before something else befalls the node

        return Ongoing([leading], f"{leading.id}, which led, stands still in the middle of a flush", mend)


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(POLL_S)
    return True


def _flushes(node: NodeProcess) -> bool:
    """Whether the node leads, and has written every poll to every sink."""
    sinks = (node.get("/status") or {}).get("sinks", {})
    return bool(sinks) and all(sink["phase"] == "flushing" for sink in sinks.values())


def _refused(node: NodeProcess) -> int:
    sinks = (node.get("/status") or {}).get("sinks", {})
    return sum(int(sink["documents"]["newer"]) for sink in sinks.values())


def _stands_still(node: NodeProcess) -> bool:
    pid = node.pid
    if pid is None:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:
        shown = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, timeout=5)
        return shown.stdout.strip().startswith("T")
