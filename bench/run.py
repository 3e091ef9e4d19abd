"""Measures the main figures of Quorate, beside those of etcd, NATS, Redis and PySyncObj, and prints the settings.

    python -m bench.run [--only votes,resp,leader,bulk,reads,failover,memory,steady] [--rounds 3] [--seconds 5]
        [--clients 1,32,256] [--json FILE] [--svg FILE]

Three nodes of each system and the client share this machine, so the cost of the client is part of every figure: its CPU
time stands beside that of the servers. The systems take turns (A B C A B C ...) and the median round is shown. On a
shared machine trust the ratios, not the rates.

What an answer means differs. Quorate, etcd and NATS (`sync_interval: always`) have the write on the disks of a
majority. Redis (`appendfsync always`, `WAIT 1`) has it on the primary's disk and in a replica's memory, without any
consensus; by redis-benchmark, which can send no WAIT, on the primary's disk alone. Stock PySyncObj, behind our HTTP
server, syncs nothing. What is not on PATH is left out: etcd, nats-server (2.12 and later have counters), redis-server,
redis-benchmark.

With --svg single votes by our own client are drawn: throughput and p99, as clients grow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import msgspec

import quorate
from bench import curves, etcd, failover, gaps, memory, nats, redis, redis_benchmark, steady, stock, table
from bench.systems import Row, System, measure
from bench.workloads import PIPE
from quorate.processes.cluster import FreshCluster
from quorate.processes.process import Process

CLIENTS, CURVE_CLIENTS = "1,32,256", "1,8,32,128,256"
BULK_CLIENTS = 12

Turn = Callable[[], Row]


class Bench:
    """The systems that are compared, and what was measured so far."""

    def __init__(self, args: argparse.Namespace, cluster: FreshCluster, others: dict[str, System]) -> None:
        self.args, self.cluster, self.others = args, cluster, others
        self.rounds_of: list[list[Row]] = []  # a list for each line of the table
        self.spread: list[Row] = []  # the median rounds of those whose clients are spread over the nodes
        self.facts: dict[str, object] = {}

    def compare(self, clients: int, ours: tuple[System, str], *beside: tuple[str, str]) -> None:
        """Measure a workload of ours, in turns with the nearest ones of other systems. Print the medians."""
        turns = [self._turn("quorate", *ours, clients)]
        turns += [self._turn(name, self.others[name], work, clients) for name, work in beside if name in self.others]
        self.take_turns(turns)

    def compare_leaders(self, clients: int, ours: tuple[System, str], *beside: tuple[str, System, str]) -> None:
        """The same, of systems whose clients all ask the leader."""
        self.take_turns(
            [self._turn("quorate", *ours, clients), *(self._turn(*other, clients) for other in beside)], spread=False
        )

    def take_turns(self, turns: Sequence[Turn], *, spread: bool = True) -> None:
        """The first one is ours."""
        rounds: list[list[Row]] = [[] for _ in turns]
        for _ in range(self.args.rounds):
            for turn, rows in zip(turns, rounds, strict=True):
                rows.append(turn())
        self.rounds_of += rounds
        self.spread += map(table.median, rounds) if spread else ()
        for rows in rounds:
            print(table.line(rows, table.median(rounds[0])), flush=True)

    def _turn(self, name: str, system: System, workload: str, clients: int) -> Turn:
        return partial(measure, name, system, workload, clients, warm_up_s=self.args.warm_up, seconds=self.args.seconds)


def votes(bench: Bench) -> None:
    """One vote with an id a request, spread over three nodes; etcd: a put of a new key, over HTTP and by gRPC; NATS: an
    increment of a counter, with the id of a message; stock: in memory alone."""
    beside = [("etcd", "etcd-put"), ("etcd", "etcd-grpc"), ("nats", "nats"), ("stock", "stock-vote")]
    for clients in bench.args.clients:
        bench.compare(clients, (bench.cluster, "vote"), *beside)


def redis_clients(bench: Bench) -> None:
    """Votes by Redis' protocol, spread over three nodes; Redis: increments at the primary, and a wait for a replica.
    Then both by redis-benchmark, at the leader and the primary; there Redis does not wait for a replica."""
    doors, most = RespDoors(bench.cluster), max(bench.args.clients)
    for clients in bench.args.clients:
        bench.compare(clients, (doors, "resp"), ("redis", "redis"))
    bench.compare(most, (doors, f"resp-{PIPE}"), ("redis", f"redis-{PIPE}"))
    if redis_benchmark.version() is None:
        return
    for clients, pipeline in [*((clients, 1) for clients in bench.args.clients), (most, PIPE)]:
        turn = partial(
            redis_benchmark.measure,
            clients=clients,
            pipeline=pipeline,
            warm_up_s=bench.args.warm_up,
            seconds=bench.args.seconds,
        )
        turns: list[Turn] = [partial(turn, "quorate", leader_door(bench.cluster), redis_benchmark.VOTE)]
        if "redis" in bench.others:
            turns.append(partial(turn, "redis", bench.others["redis"], redis_benchmark.INCREMENT))
        bench.take_turns(turns)


class RespDoors:
    """Our cluster, as clients of Redis see it."""

    def __init__(self, cluster: FreshCluster) -> None:
        self.urls = [f"resp://127.0.0.1:{port}" for port in cluster.resp_ports]
        self.nodes = cluster.nodes


class OneNode:
    """A system of which the clients ask one node."""

    def __init__(self, url: str, nodes: Sequence[Process]) -> None:
        self.urls, self.nodes = [url], nodes


def leader_door(cluster: FreshCluster) -> OneNode:
    place = cluster.leader().place.resp
    assert place is not None
    return OneNode(f"resp://127.0.0.1:{place.port}", cluster.nodes)


def at_the_leader(bench: Bench) -> None:
    """Single votes, with all clients at the node that leads: where cluster clients of Redis are led to, and as they are
    at the primary of Redis."""
    etcd_, redis_, most = bench.others.get("etcd"), bench.others.get("redis"), max(bench.args.clients)
    for clients in bench.args.clients:
        ours = OneNode(bench.cluster.leader().url, bench.cluster.nodes)
        at = (
            [("etcd", OneNode(etcd_.urls[etcd_.leader()], etcd_.nodes), "etcd-put")]
            if isinstance(etcd_, etcd.Etcd)
            else []
        )
        bench.compare_leaders(clients, (ours, "vote"), *at)
    for clients, work in [*((clients, "") for clients in bench.args.clients), (most, f"-{PIPE}")]:
        beside = [("redis", redis_, f"redis{work}")] if redis_ else []
        bench.compare_leaders(clients, (leader_door(bench.cluster), f"resp{work}"), *beside)


def bulk(bench: Bench) -> None:
    """1,000 votes a request: under one idempotency key (once), and with an id each."""
    for workload in ("once", "ids"):
        bench.compare(BULK_CLIENTS, (bench.cluster, workload))


def reads(bench: Bench) -> None:
    """Reads that miss no acknowledged vote, and those that only ask the leader."""
    for clients in (1, 32):
        bench.compare(clients, (bench.cluster, "linearizable"), ("etcd", "etcd-read"))
    bench.compare(32, (bench.cluster, "weak"))


def lose_leaders(bench: Bench) -> None:
    """The leader is killed with -9, or falls silent (SIGSTOP); until the next accepted vote."""
    for what, silent in (("kill -9", False), ("silence", True)):
        gaps_s = sorted(failover.gaps_s(bench.cluster, bench.args.kills, silent=silent))
        bench.facts[f"failover after {what}, s"] = gaps_s
        print(f"{what}, {len(gaps_s)} times: {gaps.in_words(gaps_s)}")


def remembered_ids(bench: Bench) -> None:
    """Memory for a million protected ids."""
    with tempfile.TemporaryDirectory(dir=bench.args.folder) as folder, FreshCluster(Path(folder)) as cluster:
        grown = memory.of_ids(cluster, bench.args.ids)
    bench.facts["memory"] = grown
    for line in grown.lines():
        print(line)


def stay(bench: Bench) -> None:
    """Full load for a while: a healthy leader must stay."""
    seen = steady.full_load(bench.cluster, bench.args.steady_minutes, warm_up_s=bench.args.warm_up)
    bench.facts["steady"] = seen
    print(table.line([seen.row]))
    print(
        f"{seen.minutes:g} minutes at {steady.CLIENTS} clients: {seen.elections} elections, "
        f"max {seen.row.figures.max_ms:,.0f} ms"
    )


RUN: dict[str, Callable[[Bench], None]] = {
    "votes": votes,
    "resp": redis_clients,
    "leader": at_the_leader,
    "bulk": bulk,
    "reads": reads,
    "failover": lose_leaders,
    "memory": remembered_ids,
    "steady": stay,
}


VERSIONS = {
    "etcd": etcd.version,
    "nats-server": nats.version,
    "redis-server": redis.version,
    "redis-benchmark": redis_benchmark.version,
}


def settings(args: argparse.Namespace, folder: Path, versions: Mapping[str, str | None]) -> str:
    beside = [version or f"no {name} on PATH: it is left out" for name, version in versions.items()]
    return "\n".join(
        [
            f"{machine()} for three nodes of each system and the client; data in {folder}",
            "Quorate with its default settings; beside it: ",
            *(f"  {line}" for line in [*beside, f"PySyncObj {metadata.version('pysyncobj')}, nothing on disk"]),
            f"rounds of {args.seconds:g} s after {args.warm_up:g} s of warm-up; medians of {args.rounds}",
            f"{table.ABOUT}\n\n{table.HEAD}",
        ]
    )


def machine() -> str:
    """When, what and where, in two lines."""
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    when = f"{time.strftime('%Y-%m-%d %H:%M')}: Quorate {quorate.__version__}, {system}"
    return f"{when}\n{os.cpu_count()} cores ({cpu_name()})"


def cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def numbers(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise ValueError(text)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default="votes,resp,leader,bulk,reads,failover,memory", help="sections, divided by commas"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=1.5)
    parser.add_argument(
        "--clients", type=numbers, help=f"of single votes: {CLIENTS} unless given, with --svg {CURVE_CLIENTS}"
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--ids", type=int, default=1_000_000)
    parser.add_argument("--steady-minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    parser.add_argument("--svg", type=Path, help="draw throughput and p99 there, as clients grow")
    args = parser.parse_args()
    args.clients = args.clients or numbers(CURVE_CLIENTS if args.svg else CLIENTS)
    chosen = args.only.split(",")
    if unknown := set(chosen) - set(RUN):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(RUN)}")
    if args.svg and not {"votes", "resp"} & set(chosen):
        parser.error("--svg draws single votes: choose the section votes, resp or both")
    run(args, chosen)


def run(args: argparse.Namespace, chosen: Sequence[str]) -> None:
    versions = {name: version() for name, version in VERSIONS.items()}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder)))
        cluster = stack.enter_context(
            FreshCluster(folder, settings={"flush.interval_ms": 1000}, resp=bool({"resp", "leader"} & set(chosen)))
        )
        others: dict[str, System] = {}
        if versions["etcd"] and {"votes", "leader", "reads"} & set(chosen):
            others["etcd"] = stack.enter_context(etcd.Etcd(folder))
        if versions["redis-server"] and {"resp", "leader"} & set(chosen):
            others["redis"] = stack.enter_context(redis.Redis(folder))
        if "votes" in chosen:
            others["stock"] = stack.enter_context(stock.Stock(folder))
            if versions["nats-server"]:
                others["nats"] = stack.enter_context(nats.Nats(folder))
        with cluster.client() as client:
            client.create_poll("bench", ["happy", "sad"])
        bench = Bench(args, cluster, others)
        said = settings(args, folder, versions)
        print(said)
        for name in chosen:
            print(f"\n{name}: {(RUN[name].__doc__ or '').strip()}", flush=True)
            RUN[name](bench)
    if args.json:
        rows = [row.whole() for rounds in bench.rounds_of for row in rounds]
        whole = {"settings": said, "versions": versions, "rows": rows, "facts": bench.facts}
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode(whole)))
    if args.svg:
        args.svg.write_text(curves.drawn(bench.spread), encoding="utf-8")


if __name__ == "__main__":
    main()
