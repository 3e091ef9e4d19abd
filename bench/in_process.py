"""Measures the replica alone: one node without HTTP, with proposers in its process. Ours, or the stock PySyncObj.

    python -m bench.in_process SYSTEM NODE FOLDER n1=HOST:PORT,n2=HOST:PORT,n3=HOST:PORT

It reads orders from stdin, one a line. `leads` is answered by true or false, and `run WHAT PROPOSERS WARM_UP_S SECONDS`
by the figures. A proposer proposes, waits for the commit, and proposes again. WHAT is `propose` (each time an entry of
200 bytes) or `votes` (each time a vote with an id, through the `Submitter`, as for an HTTP request). Stock PySyncObj
can only do `propose`.

Stock PySyncObj gets the best conditions: batching by period is off, and its proposers are callbacks on its own thread,
so that no other thread must wake up for an answer. Its commands carry 200 bytes, and its state machine only counts.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

from quorate.cluster import entry
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.environment import KEEP_BYTES, ReplicaSettings
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.transport.handshake.credentials import shared_key
from quorate.cluster.submit.choices import choice_of
from quorate.cluster.submit.submitter import Submitter
from quorate.config import Config, parse_address
from quorate.errors import QuorateError
from quorate.runtime import SWITCH_S
from quorate.vote import Vote

PAYLOAD_BYTES = 200
AGAIN_S = 0.02
TIMEOUT_S = 10.0
OPTION = "o" * 155  # its length makes an entry with one vote PAYLOAD_BYTES long


class Figures(msgspec.Struct):
    """One round on the leader. Latencies are in milliseconds, CPU time of its process in microseconds a commit."""

    commits: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    failures: int


class Meter:
    """What the proposers of one round share."""

    def __init__(self) -> None:
        self.running = True
        self.took_s: list[float] = []
        self.failures = 0
        self.clear()

    def clear(self) -> None:
        self.took_s, self.failures = [], 0
        self._begun_s, self._cpu_s = time.perf_counter(), time.process_time()

    def figures(self) -> Figures:
        self.running = False
        seconds, cpu_s = time.perf_counter() - self._begun_s, time.process_time() - self._cpu_s
        took_s = sorted(self.took_s)
        count = len(took_s)
        p50_ms, p99_ms = (took_s[int(count * q)] * 1e3 if count else 0.0 for q in (0.5, 0.99))
        return Figures(count, seconds, p50_ms, p99_ms, cpu_s * 1e6 / max(count, 1), self.failures)


# ---- ours -----------------------------------------------------------------------------------------------------------


def entry_of(now_ms: int, option: str) -> bytes:
    """An entry with one vote that has an id."""
    votes = entry.CastVotes([choice_of((option, None, 1))], os.urandom(entry.ID_HASH_BYTES), bytes(4))
    return entry.encode_entry(now_ms, [entry.encode_batch([votes])])


def open_replica(
    name: str, folder: Path, peers: dict[str, str], *, snapshot_bytes: int = 0, keep_bytes: int = KEEP_BYTES
) -> RaftReplica:
    """A replica with the default settings of a node, except for those given."""
    config = Config()
    settings = ReplicaSettings(
        node_id=name,
        cluster_name=config.node.cluster,
        listen=[parse_address(peers[name])],
        peers=peers,
        http="",
        credentials=shared_key(),
        bootstrap=True,
        timing=ElectionTiming(config.raft.election_timeout_ms / 1000),
        snapshot_bytes=snapshot_bytes or config.raft.snapshot_bytes,
        dedup_window=config.votes.dedup_window,
        keep_bytes=keep_bytes,
    )
    directory = DataDirectory.open(folder, node_id=name, cluster_name=config.node.cluster)
    return RaftReplica(settings, directory, on_halt=lambda error: os._exit(1))


async def ours(name: str, folder: Path, peers: dict[str, str]) -> None:
    replica = open_replica(name, folder, peers)
    await replica.start()
    submitter = Submitter(replica)
    gc.freeze()
    while order := (await asyncio.to_thread(sys.stdin.readline)).split():
        if order[0] == "leads":
            say(replica.is_leader and bool(replica.state.cluster_id))
        else:
            poll = entry.CreatePoll("bench", "", [OPTION], "open", None, False)
            await submitter.create_poll(poll, timeout_s=TIMEOUT_S)
            commit = {"propose": proposing(replica), "votes": voting(submitter)}[order[1]]
            say(await run_ours(commit, int(order[2]), float(order[3]), float(order[4])))


def proposing(replica: RaftReplica) -> Callable[[], Awaitable[Any]]:
    assert len(entry_of(replica.now_ms(), OPTION)) == PAYLOAD_BYTES
    return lambda: replica.propose(entry_of(replica.now_ms(), OPTION))


def voting(submitter: Submitter) -> Callable[[], Awaitable[Any]]:
    numbers = itertools.count(time.time_ns())
    return lambda: submitter.cast([Vote(OPTION, f"{next(numbers):020d}")], timeout_s=TIMEOUT_S)


async def run_ours(commit: Callable[[], Awaitable[Any]], proposers: int, warm_up_s: float, seconds: float) -> Figures:
    meter = Meter()

    async def proposer() -> None:
        while meter.running:
            begun_s = time.perf_counter()
            try:
                await commit()
                meter.took_s.append(time.perf_counter() - begun_s)
            except QuorateError:
                meter.failures += 1
                await asyncio.sleep(AGAIN_S)

    tasks = [asyncio.create_task(proposer()) for _ in range(proposers)]
    await asyncio.sleep(warm_up_s)
    meter.clear()
    await asyncio.sleep(seconds)
    figures = meter.figures()
    await asyncio.wait(tasks, timeout=TIMEOUT_S)
    return figures


# ---- stock ----------------------------------------------------------------------------------------------------------


class Counter(SyncObj):  # type: ignore[misc]  # PySyncObj has no annotations
    """The shortest counter that one can write with the library."""

    def __init__(self, me: str, others: list[str], conf: SyncObjConf) -> None:
        super().__init__(me, others, conf)
        self.count = 0

    @replicated  # type: ignore[untyped-decorator]
    def add(self, payload: bytes) -> int:
        self.count += 1
        return self.count


def stock(name: str, peers: dict[str, str], journal: Path | None) -> None:
    # Under load it removes matching entries that it has applied, and logs that each time: test_pairs_replication.py.
    logging.getLogger("pysyncobj").setLevel(logging.CRITICAL + 1)
    conf = SyncObjConf(appendEntriesUseBatch=False, journalFile=None if journal is None else str(journal))
    node = Counter(peers[name], [address for id, address in peers.items() if id != name], conf)
    while order := sys.stdin.readline().split():
        if order[0] == "leads":
            say(bool(node._isLeader() and node.isReady()))
        else:
            say(run_stock(node, int(order[2]), float(order[3]), float(order[4])))


def run_stock(node: Counter, proposers: int, warm_up_s: float, seconds: float) -> Figures:
    meter, payload = Meter(), os.urandom(PAYLOAD_BYTES)

    def propose() -> None:
        begun_s = time.perf_counter()

        def done(result: object, error: int) -> None:
            if error == FAIL_REASON.SUCCESS:
                meter.took_s.append(time.perf_counter() - begun_s)
            else:
                meter.failures += 1
            if meter.running:
                propose()

        node.add(payload, callback=done)

    for _ in range(proposers):
        propose()
    time.sleep(warm_up_s)
    meter.clear()
    time.sleep(seconds)
    return meter.figures()


def say(answer: object) -> None:
    print(msgspec.json.encode(answer).decode(), flush=True)


def main() -> None:
    system, name, folder, listed = sys.argv[1:]
    peers = dict(peer.split("=") for peer in listed.split(","))
    if system == "ours":
        sys.setswitchinterval(SWITCH_S)  # as a node does
        uvloop.run(ours(name, Path(folder), peers))
    else:
        stock(name, peers, Path(folder, "journal") if system == "stock-file" else None)
    os._exit(0)  # do not wait for its threads or for proposals without an answer


if __name__ == "__main__":
    main()
