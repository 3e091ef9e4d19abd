"""Measures what a million votes take on each node: of the disk, and of memory. `docs/figures.md` has the figures.

    python -m bench.sizing [--seconds 10] [--ids 1000000]

First the log is not shortened meanwhile: `raft.snapshot_bytes` is above all that is written. One vote a request is
measured for so many seconds, and counted up to a million. Then, with default settings, what a node has at the most.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import memory
from bench.workloads import BULK, WORKLOADS
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import NodeProcess
from quorate.words import count

MB = 1_000_000
NO_SNAPSHOT = 2**31 - 1
ROUNDS = 6  # so many times --ids: the window of protected ids is full, and snapshots were taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--ids", type=int, default=MB)
    args = parser.parse_args()
    with new_cluster({"raft.snapshot_bytes": NO_SNAPSHOT}) as cluster:
        log, rss = grown(cluster, lambda: bulk(cluster, args.ids))
        print(f"{BULK:,} votes with ids a request: {log:.1f} MB of log, {rss:.0f} MB of memory", flush=True)
    for workload, clients in (("vote", 1), ("vote", 32), ("vote", 256), ("once", 4)):
        with new_cluster({"raft.snapshot_bytes": NO_SNAPSHOT}) as cluster:
            log, _ = grown(cluster, lambda: load(cluster, workload, clients, args.seconds))  # noqa: B023
        print(f"{WORKLOADS[workload].about}, {count(clients, 'client')}: {log:.1f} MB of log", flush=True)
    with new_cluster({}) as cluster:
        most = max((bulk(cluster, args.ids // 10, at * MB), whole(cluster))[1] for at in range(1, 10 * ROUNDS + 1))
        rss = max(node.memory_bytes() for node in cluster.nodes) / MB
        votes = f"{ROUNDS * args.ids:,} votes with ids, with snapshots"
        print(f"{votes}: at most {most:.0f} MB on disk, {rss:.0f} MB of memory")


@contextmanager
def new_cluster(settings: dict[str, object]) -> Iterator[FreshCluster]:
    with tempfile.TemporaryDirectory() as folder, FreshCluster(Path(folder), settings=settings) as cluster:
        with cluster.client() as client:
            client.create_poll("bench", ["happy", "sad"])
        bulk(cluster, 20_000, first=10**9)  # what the first requests allocate is not caused by votes
        yield cluster


def grown(cluster: FreshCluster, send: Callable[[], int]) -> tuple[float, float]:
    """What a million votes took on the node that took most, in MB: of log, and of memory."""
    before = [sizes(node) for node in cluster.nodes]
    votes = send()
    cluster.wait_for("all nodes agree", lambda: cluster.results("bench"))
    after = [sizes(node) for node in cluster.nodes]
    log, rss = (max(new[at] - old[at] for old, new in zip(before, after, strict=True)) / votes for at in (0, 1))
    return log, rss


def whole(cluster: FreshCluster) -> float:
    """MB on the disk of the node that has most."""
    return (
        max(
            sum(path.stat().st_size for path in node.place.folder.rglob("*") if path.is_file())
            for node in cluster.nodes
        )
        / MB
    )


def sizes(node: NodeProcess) -> tuple[int, int]:
    """Of the log without the zeros that it is written ahead with, and of the process."""
    written = sum(len(path.read_bytes().rstrip(b"\0")) for path in node.place.folder.rglob("log-*.seg"))
    return written, node.memory_bytes()


def bulk(cluster: FreshCluster, votes: int, first: int = 10**6) -> int:
    memory.send(cluster.leader().port, votes // BULK, first=first)
    return votes


def load(cluster: FreshCluster, workload: str, clients: int, seconds: float) -> int:
    urls = [node.url for node in cluster.nodes]
    command = [sys.executable, "-m", "bench.load", workload, *urls, "--clients", str(clients), "--warm-up", "0"]
    said = subprocess.run([*command, "--seconds", str(seconds)], capture_output=True, text=True, check=True).stdout
    return int(json.loads(said.splitlines()[-1])["votes"])


if __name__ == "__main__":
    main()
