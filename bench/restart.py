"""Measures how long a killed node takes to serve again after a million votes with ids.

There are four histories: all votes in the log, in big entries from bulk requests (for a single node, and for a follower
of three); all votes in a snapshot; and the worst case of the default settings, a snapshot with a log of single votes
behind it that is almost long enough for the next snapshot. The start of an empty node is shown too. Two times are
measured: until /readyz answers 200, and until the whole log is applied.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bench import memory
from bench.in_process import TIMEOUT_S, entry_of, open_replica
from bench.workloads import BULK
from quorate.cluster import entry
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.submit.submitter import Submitter
from quorate.config import Config
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import NodeProcess
from quorate.processes.waiting import wait_for
from quorate.vote import Vote

POLL_S = 0.005
POLL_STATUS_S = 0.1  # not more often, since answering /status takes milliseconds in which the node applies nothing
GIVE_UP_S = 120.0
SMALL_BYTES = 65_536
OPTIONS = ("happy", "sad")


class Restart(msgspec.Struct):
    history: str
    ready_s: list[float]  # from the start of the process until /readyz answers 200, one number for each kill
    applied_s: list[float]  # from the start of the process until its whole log is applied
    entries: int
    log_bytes: int
    snapshot_bytes: int
    resident_bytes: int

    def line(self) -> str:
        times = ", ".join(f"{a:.2f} {b:.2f}" for a, b in zip(self.ready_s, self.applied_s, strict=True))
        sizes = f"log {self.log_bytes / 1e6:.1f} MB, snapshot {self.snapshot_bytes / 1e6:.1f} MB"
        resident = f"RSS {self.resident_bytes / 1e6:.0f} MB"
        return f"{self.history:44} {times} s; {self.entries:,} entries, {sizes}, {resident}"


def histories(folder: Path, ids: int, times: int) -> Iterator[Restart]:
    with FreshCluster(folder / "alone", size=1) as cluster:
        yield restarts("nothing", cluster.nodes[0], times)
        cast_bulk(cluster, ids)
        yield restarts(f"{ids:,} ids in the log", cluster.nodes[0], times)
    with FreshCluster(folder / "three") as cluster:
        cast_bulk(cluster, ids)
        yield restarts(f"{ids:,} ids in the log, follower of three", cluster.followers()[0], times)
    cluster = FreshCluster(folder / "made", size=1)
    node = cluster.nodes[0]
    try:
        asyncio.run(into_a_snapshot(node, ids))
        yield restarts(f"{ids:,} ids in a snapshot", node, times)
        asyncio.run(then_a_full_log(node))
        yield restarts("the same, and single votes in a full log", node, times)
    finally:
        cluster.close()


def restarts(history: str, node: NodeProcess, times: int) -> Restart:
    ready_s, applied_s = [], []
    for _ in range(times):
        if node.running:
            node.kill()
        begun_s = time.perf_counter()
        node.start()
        ready_s.append(seconds_until(node.is_ready, begun_s))
        applied_s.append(seconds_until(lambda: has_applied_all(node), begun_s, POLL_STATUS_S))
    raft = node.get("/status")["raft"]
    entries = raft["last_index"] - raft["first_index"]
    sizes = raft["log_bytes"], raft["snapshot_bytes"], node.memory_bytes()
    node.kill()
    return Restart(history, ready_s, applied_s, entries, *sizes)


def has_applied_all(node: NodeProcess) -> bool:
    status = node.get("/status")
    return status is not None and bool(status["raft"]["applied_index"] == status["raft"]["last_index"])


def seconds_until(condition: Callable[[], bool], begun_s: float, every_s: float = POLL_S) -> float:
    wait_for("the node is back", condition, deadline_s=GIVE_UP_S, every_s=every_s)
    return time.perf_counter() - begun_s


def cast_bulk(cluster: FreshCluster, ids: int) -> None:
    cluster.start()
    with cluster.client() as client:
        client.create_poll("bench", list(OPTIONS))
    memory.send(cluster.leader().port, ids // BULK, first=10**6)
    cluster.wait_for("all nodes agree", lambda: cluster.results("bench"))


# ---- histories made without HTTP: it alone would take minutes -------------------------------------------------------


async def into_a_snapshot(node: NodeProcess, ids: int) -> None:
    """A million ids, with snapshots so often that almost nothing stays in the log."""
    replica = await lead(node, snapshot_bytes=SMALL_BYTES, keep_bytes=SMALL_BYTES)
    submitter = Submitter(replica)
    poll = entry.CreatePoll("bench", "", list(OPTIONS), "open", None, False)
    await submitter.create_poll(poll, timeout_s=TIMEOUT_S)
    for first in range(0, ids, BULK):
        await submitter.cast([Vote("happy", str(number)) for number in range(first, first + BULK)], timeout_s=GIVE_UP_S)
    submitter.stop()
    await replica.stop()


async def then_a_full_log(node: NodeProcess) -> None:
    """Entries of one vote, until just before the default settings take a snapshot."""
    replica = await lead(node)
    limit = (Config().raft.snapshot_bytes + replica.settings.keep_bytes) * 0.97
    while replica.status().log_memory_bytes < limit:
        await asyncio.gather(*(replica.propose(entry_of(replica.now_ms(), "happy")) for _ in range(BULK)))
    await replica.stop()


async def lead(node: NodeProcess, **settings: int) -> RaftReplica:
    replica = open_replica(node.id, node.folder, {node.id: str(node.settings["raft.listen"])}, **settings)
    leads = asyncio.Event()

    def note_leadership(_: object) -> None:
        if replica.is_leader and replica.state.cluster_id:
            leads.set()

    replica.on_leadership(note_leadership)
    replica.on_applied(note_leadership)  # a new replica forms its state after it became leader
    await replica.start()
    await asyncio.wait_for(leads.wait(), GIVE_UP_S)
    return replica
