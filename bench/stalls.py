"""Measures what clients notice of snapshots: the longest time between two commits while a big state is written.

The nodes are run by `python -m bench.stalls node --config FILE`, which adds a stopwatch around snapshots.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from bench import memory
from bench.load import keep_connected
from bench.load_clients import Run
from bench.systems import ROOT
from bench.workloads import BULK, WORKLOADS
from quorate.cli import main as quorate
from quorate.cluster.raft import running
from quorate.cluster.raft.snapshot.compaction import Compaction
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta
from quorate.processes.cluster import FreshCluster

NEVER_BYTES = 1 << 30
CLIENTS = 32
CHECK_S = 0.001
TIMED = re.compile(r"bench: snapshot of (\d+) bytes: ([\d.]+) ms, of which ([\d.]+) on the loop")


class Stalls(msgspec.Struct):
    what: str
    longest_gaps_ms: list[float]  # between two commits, longest first
    commits_per_s: float
    snapshots: int  # on all nodes
    snapshot_ms: list[float]
    on_loop_ms: list[float]
    image_bytes: int
    terms: tuple[int, int]
    failures: dict[str, int]

    def lines(self) -> list[str]:
        gaps = ", ".join(f"{gap:.0f}" for gap in self.longest_gaps_ms)
        lines = [
            f"{self.what}: {self.commits_per_s:,.0f} commits/s; longest gaps {gaps} ms; term {self.terms[0]} before, "
            f"{self.terms[1]} after" + (f"; failures {self.failures}" if self.failures else "")
        ]
        if self.snapshots:
            lines.append(
                f"  {self.snapshots} snapshots of {self.image_bytes / 1e6:.1f} MB, median and max: "
                f"{statistics.median(self.snapshot_ms):.0f} and {max(self.snapshot_ms):.0f} ms, of it on the loop "
                f"{statistics.median(self.on_loop_ms):.0f} and {max(self.on_loop_ms):.0f} ms"
            )
        return lines


class Timed(Compaction):
    """Prints how long each snapshot took, from freezing the state until the file is durable."""

    def _take(self) -> None:
        self._begun_s = time.perf_counter()
        super()._take()
        self._loop_s = time.perf_counter() - self._begun_s

    def _taken(self, meta: SnapshotMeta | BaseException) -> None:
        durable_s = time.perf_counter()
        super()._taken(meta)
        now_s = time.perf_counter()
        whole_ms, loop_ms = (now_s - self._begun_s) * 1e3, (self._loop_s + now_s - durable_s) * 1e3
        size = 0 if isinstance(meta, BaseException) else meta.size
        print(f"bench: snapshot of {size} bytes: {whole_ms:.1f} ms, of which {loop_ms:.1f} on the loop", flush=True)


def measure(folder: Path, ids: int, options: int, snapshot_bytes: int, seconds: float) -> list[Stalls]:
    """Measure without snapshots first: that shows how much this machine delays commits by itself."""
    settings = {"raft.snapshot_bytes": NEVER_BYTES, "flush.interval_ms": 1000}
    cluster = FreshCluster(folder, settings=settings, command=[sys.executable, "-m", "bench.stalls"], cwd=ROOT)
    with cluster:
        with cluster.client() as client:
            client.create_poll("bench", ["happy", "sad"])
            client.create_poll("big", [f"option {number}" for number in range(options)])
        memory.send(cluster.leader().port, ids // BULK, first=10**6)
        cluster.wait_whole()
        without = under_load(cluster, "no snapshots", seconds)
        for node in cluster.nodes:
            node.stop()
            node.settings["raft.snapshot_bytes"] = snapshot_bytes
        cluster.start()
        cluster.wait_whole()
        return [without, under_load(cluster, f"a snapshot every {snapshot_bytes:,} bytes", seconds)]


def under_load(cluster: FreshCluster, what: str, seconds: float) -> Stalls:
    said = [len(node.output()) for node in cluster.nodes]
    term = cluster.leader().get("/leader")["term"]
    run = Run(WORKLOADS["vote"], seed=time.time_ns() // 1_000_000 % 10**8 * 10**6)
    gaps_s = uvloop.run(drive(run, [node.port for node in cluster.nodes], seconds))
    found = [
        match for node, start in zip(cluster.nodes, said, strict=True) for match in TIMED.finditer(node.output(), start)
    ]
    return Stalls(
        what=what,
        longest_gaps_ms=[gap * 1e3 for gap in sorted(gaps_s)[-5:][::-1]],
        commits_per_s=len(run.took_s) / seconds,
        snapshots=len(found),
        snapshot_ms=[float(match[2]) for match in found],
        on_loop_ms=[float(match[3]) for match in found],
        image_bytes=max((int(match[1]) for match in found), default=0),
        terms=(term, cluster.leader().get("/leader")["term"]),
        failures=dict(run.failures),
    )


async def drive(run: Run, ports: list[int], seconds: float) -> list[float]:
    """The times without an accepted vote, to about a millisecond."""
    tasks = [
        asyncio.create_task(keep_connected(run, "127.0.0.1", ports[number % len(ports)])) for number in range(CLIENTS)
    ]
    await asyncio.sleep(1.0)
    run.clear()
    gaps_s: list[float] = []
    begun_s = last_s = time.perf_counter()
    seen = 0
    while (now_s := time.perf_counter()) - begun_s < seconds:
        if len(run.took_s) != seen:
            seen = len(run.took_s)
            gaps_s.append(now_s - last_s)
            last_s = now_s
        await asyncio.sleep(CHECK_S)
    gaps_s.append(now_s - last_s)
    run.running = False
    await asyncio.wait(tasks, timeout=5.0)
    return gaps_s


if __name__ == "__main__":
    setattr(running, "Compaction", Timed)  # noqa: B010 - the stopwatch; mypy has it as a private name there
    sys.exit(quorate())
