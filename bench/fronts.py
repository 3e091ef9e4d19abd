"""Measures what a second process that takes the clients' requests would spare a node: a follower is such a process.

    python -m bench.fronts [--clients 256] [--door http,resp] [--rounds 3] [--seconds 4]

A follower parses the votes of its clients, hands them to the leader in groups over a framed connection, and writes the
answers: all that a front process beside the leader would do. So the same clients are put at the leader alone, then at
the followers alone, then at all nodes, in turns, and the CPU time of each process stands beside the votes. What the
leader spends with all clients elsewhere is what no front can spare it. Each follower also applies every vote, as it
always does; the line of the leader shows how much of its time that is.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.systems import measure
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import NodeProcess
from quorate.processes.process import Process

WORKLOADS = {"http": "vote", "resp": "resp"}
PLACES = ("leader", "followers", "all nodes")


@dataclass(frozen=True, slots=True)
class Door:
    urls: Sequence[str]
    nodes: Sequence[Process]


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU times in microseconds a vote."""

    rate: float
    leader_us: float
    followers_us: float  # both together
    client_us: float

    @property
    def all_us(self) -> float:
        return self.leader_us + self.followers_us + self.client_us


def url_of(node: NodeProcess, door: str) -> str:
    if door == "http":
        return node.url
    assert node.place.resp is not None
    return f"resp://127.0.0.1:{node.place.resp.port}"


def spent(cluster: FreshCluster, place: str, door: str, clients: int, seconds: float) -> Spent:
    leader = cluster.leader()
    at = {"leader": [leader], "followers": cluster.followers(), "all nodes": cluster.nodes}[place]
    system = Door([url_of(node, door) for node in at], cluster.nodes)
    before = {node.id: node.cpu_s() for node in cluster.nodes}
    row = measure("quorate", system, WORKLOADS[door], clients, warm_up_s=1.0, seconds=seconds)
    # The warm-up is in the nodes' times here, and not in the row's: only the shares are taken.
    times = {node.id: node.cpu_s() - before[node.id] for node in cluster.nodes}
    leaders_share = times[leader.id] / sum(times.values())
    if cluster.leader() is not leader:
        raise SystemExit("another node leads now: the machine is too busy for figures")
    return Spent(
        row.rate, row.cpu_us * leaders_share, row.cpu_us * (1 - leaders_share), row.client_cpu_s * 1e6 / row.counted
    )


def line(place: str, rounds: Sequence[Spent]) -> str:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in rounds))

    return (
        f"  {place:10}{middle('rate'):12,.0f}{middle('leader_us'):12.1f}{middle('followers_us'):12.1f}"
        f"{middle('client_us'):12.1f}{middle('all_us'):12.1f}"
    )


def print_table(door: str, clients: int, found: Mapping[str, Sequence[Spent]]) -> None:
    print(f"\n{door}, {clients} clients; CPU microseconds a vote")
    print(f"  {'clients at':10}{'votes/s':>12}{'leader':>12}{'followers':>12}{'client':>12}{'all':>12}")
    for place, rounds in found.items():
        print(line(place, rounds), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=256)
    parser.add_argument("--door", default="http,resp", help="divided by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    args = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder)))
        cluster = stack.enter_context(FreshCluster(folder, settings={"flush.interval_ms": 1000}, resp=True))
        with cluster.client() as client:
            client.create_poll("bench", ["happy", "sad"])
        for door in args.door.split(","):
            found: dict[str, list[Spent]] = {place: [] for place in PLACES}
            for _ in range(args.rounds):
                for place in PLACES:
                    found[place].append(spent(cluster, place, door, args.clients, args.seconds))
            print_table(door, args.clients, found)


if __name__ == "__main__":
    main()
