"""How long a node that was killed takes to serve again, with a million votes with ids behind it.

Four histories: all of it in the log as bulk requests leave it (a node alone, and a follower of three, which must also
reach the leader's applied index); all of it in a snapshot; and the worst that default settings allow, a snapshot and
behind it a log of single votes just too short for the next one. An empty node's start is shown beside them.
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
from quorate.cluster.submit import Submitter
from quorate.config import Config
from quorate.vote import Vote
from tests.system.cluster import Cluster, NodeProcess

POLL_S = 0.005
GIVE_UP_S = 120.0
SMALL_BYTES = 65_536
OPTIONS = ("happy", "sad")


class Restart(msgspec.Struct):
    history: str
    seconds: list[float]  # from the start of the process, one a kill
    entries: int
    log_bytes: int
    snapshot_bytes: int
    resident_bytes: int

    def line(self) -> str:
        sizes = f"log {self.log_bytes / 1e6:6.1f} MB, snapshot {self.snapshot_bytes / 1e6:5.1f} MB"
        times = ", ".join(f"{each:.2f}" for each in self.seconds)
        return (
            f"{self.history:42} {times} s; {self.entries:9,} entries, {sizes}; RSS {self.resident_bytes / 1e6:.0f} MB"
        )


def histories(folder: Path, ids: int, times: int) -> Iterator[Restart]:
    with Cluster(folder / "alone", size=1) as cluster:
        node = cluster.nodes[0]
        yield restarts("nothing", node, times, node.is_ready)
        cast_bulk(cluster, ids)
        yield restarts(f"{ids:,} ids in the log", node, times, node.is_ready)
    with Cluster(folder / "three") as cluster:
        cast_bulk(cluster, ids)
        follower = cluster.followers()[0]
        applied = cluster.leader().get("/status")["raft"]["applied_index"]
        yield restarts(
            f"{ids:,} ids in the log, follower of three",
            follower,
            times,
            lambda: follower.is_ready() and (follower.get("/status")["raft"]["applied_index"] >= applied),
        )
    cluster = Cluster(folder / "made", size=1)
    node = cluster.nodes[0]
    try:
        asyncio.run(into_a_snapshot(node, ids))
        yield restarts(f"{ids:,} ids in a snapshot", node, times, node.is_ready)
        asyncio.run(then_a_full_log(node))
        yield restarts("the same, and single votes in a full log", node, times, node.is_ready)
    finally:
        cluster.close()


def restarts(history: str, node: NodeProcess, times: int, is_back: Callable[[], bool]) -> Restart:
    seconds = []
    for _ in range(times):
        if node.running:
            node.kill()
        seconds.append(start_s(node, is_back))
    raft = node.get("/status")["raft"]
    result = Restart(
        history,
        seconds,
        raft["last_index"] - raft["first_index"],
        raft["log_bytes"],
        raft["snapshot_bytes"],
        node.memory_bytes(),
    )
    node.kill()
    return result


def start_s(node: NodeProcess, is_back: Callable[[], bool]) -> float:
    begun_s = time.perf_counter()
    node.start()
    while not is_back():
        assert time.perf_counter() - begun_s < GIVE_UP_S, node.tail()
        time.sleep(POLL_S)
    return time.perf_counter() - begun_s


def cast_bulk(cluster: Cluster, ids: int) -> None:
    cluster.start()
    with cluster.client() as client:
        client.create_poll("bench", list(OPTIONS))
    memory.send(cluster.leader().port, ids // BULK, first=10**6)
    cluster.wait_for("all nodes agree", lambda: cluster.results("bench"))


# ---- histories made without HTTP: it alone would take minutes -------------------------------------------------------


async def into_a_snapshot(node: NodeProcess, ids: int) -> None:
    """A million ids, with snapshots so often that next to nothing is left in the log."""
    replica = await lead(node, snapshot_bytes=SMALL_BYTES, keep_bytes=SMALL_BYTES)
    submitter = Submitter(replica)
    poll = entry.CreatePoll("bench", "", list(OPTIONS), "open", None, False)
    await submitter.create_poll(poll, timeout_s=TIMEOUT_S)
    for first in range(0, ids, BULK):
        await submitter.cast([Vote("happy", str(number)) for number in range(first, first + BULK)], timeout_s=GIVE_UP_S)
    submitter.stop()
    await replica.stop()


async def then_a_full_log(node: NodeProcess) -> None:
    """One vote an entry, until the default settings are about to take a snapshot."""
    replica = await lead(node)
    limit = (Config().raft.snapshot_bytes + replica.settings.keep_bytes) * 0.97
    while replica.status()["log_memory_bytes"] < limit:
        await asyncio.gather(*(replica.propose(entry_of(replica.now_ms(), "happy")) for _ in range(BULK)))
    await replica.stop()


async def lead(node: NodeProcess, **settings: int) -> RaftReplica:
    replica = open_replica(node.id, node.folder, {node.id: str(node.settings["raft.listen"])}, **settings)
    leads = asyncio.Event()

    def look(_: object) -> None:
        if replica.is_leader and replica.state.cluster_id:
            leads.set()

    replica.on_leadership(look)
    replica.on_applied(look)  # a new one forms its state when it leads
    await replica.start()
    await asyncio.wait_for(leads.wait(), GIVE_UP_S)
    return replica
