"""Measures the main figures of Quorate, beside those of etcd and PySyncObj, and prints the settings.

    python -m bench.run [--only votes,resp,bulk,reads,failover,memory,steady] [--rounds 3] [--seconds 5] [--json FILE]

Three nodes of each system and the client share this machine, so the cost of the client is included. Quorate and etcd
sync data to disk before an answer. Stock PySyncObj, behind our HTTP server, syncs nothing. The systems take turns
(A B A B ...) and the median round is shown: on a shared machine trust the ratios, not the rates. etcd and Redis are
measured if they are on PATH. Redis syncs each write and waits for one replica, without any consensus.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

import quorate
from bench import etcd, failover, gaps, memory, redis, steady, stock
from bench.systems import Row, System, measure
from bench.workloads import PIPE
from quorate.processes.cluster import FreshCluster

CLIENTS = (1, 32, 256)
BULK_CLIENTS = 12


class Bench:
    """The systems that are compared, and what was measured so far."""

    def __init__(self, args: argparse.Namespace, cluster: FreshCluster, others: dict[str, System]) -> None:
        self.args, self.cluster, self.others = args, cluster, others
        self.rows: list[Row] = []
        self.facts: dict[str, object] = {}

    def rounds(self, workload: str, clients: int, system: System | None = None, **beside: str) -> None:
        """Measure a workload, in turns with the nearest workload of other systems. Print the medians."""
        rows: dict[str, list[Row]] = {}
        turns: list[tuple[str, System, str]] = [("quorate", system or self.cluster, workload)]
        turns += [(name, self.others[name], work) for name, work in beside.items() if name in self.others]
        for _ in range(self.args.rounds):
            for name, system, work in turns:
                row = measure(name, system, work, clients, warm_up_s=self.args.warm_up, seconds=self.args.seconds)
                rows.setdefault(name, []).append(row)
                self.rows.append(row)
        for some in rows.values():
            print_row(sorted(some, key=lambda row: row.figures.requests)[len(some) // 2], some)


def print_row(row: Row, rounds: list[Row]) -> None:
    f = row.figures
    rate = (f.votes or f.requests) / f.seconds
    spread = [(r.figures.votes or r.figures.requests) / r.figures.seconds for r in rounds]
    failures = {k: v for r in rounds for k, v in r.figures.failures.items()}
    print(
        f"{f.workload:13} {f.clients:7} {rate:12,.0f}/s  {min(spread):9,.0f} to {max(spread):9,.0f}"
        f"  {f.p50_ms:8.2f} {f.p99_ms:8.2f}  {row.cpu_us:8.1f}  {f.client_cpu_us:8.1f}"
        + (f"  failures {failures}" if failures else ""),
        flush=True,
    )


def head() -> None:
    print(
        f"\n{'workload':13} {'clients':>7} {'median':>14}  {'lowest to highest':>22}  {'p50 ms':>8} {'p99 ms':>8}"
        f"  {'us CPU':>8}  {'client us':>8}"
    )


def votes(bench: Bench) -> None:
    """One vote with an id a request, spread over three nodes; etcd: a put of a new key; stock: in memory alone."""
    head()
    for clients in CLIENTS:
        bench.rounds("vote", clients, etcd="etcd-put", stock="stock-vote")


def redis_clients(bench: Bench) -> None:
    """Votes by Redis' protocol, spread over three nodes; Redis: increments at the primary, and a wait for a replica."""
    head()
    for clients in CLIENTS:
        bench.rounds("resp", clients, system=RespDoors(bench.cluster), redis="redis")
    bench.rounds(f"resp-{PIPE}", CLIENTS[-1], system=RespDoors(bench.cluster), redis=f"redis-{PIPE}")


class RespDoors:
    """Our cluster, as clients of Redis see it."""

    def __init__(self, cluster: FreshCluster) -> None:
        self.urls = [f"resp://127.0.0.1:{port}" for port in cluster.resp_ports]
        self.nodes = cluster.nodes


def bulk(bench: Bench) -> None:
    """1,000 votes a request."""
    head()
    bench.rounds("once", BULK_CLIENTS)
    bench.rounds("ids", BULK_CLIENTS)


def reads(bench: Bench) -> None:
    """Reads that miss no acknowledged vote, and those that only ask the leader."""
    head()
    for clients in (1, 32):
        bench.rounds("linearizable", clients, etcd="etcd-read")
    bench.rounds("weak", 32)


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
    head()
    print_row(seen.row, [seen.row])
    print(
        f"{seen.minutes:g} minutes at {steady.CLIENTS} clients: {seen.elections} elections, "
        f"max {seen.row.figures.max_ms:,.0f} ms"
    )


RUN: dict[str, Callable[[Bench], None]] = {
    "votes": votes,
    "resp": redis_clients,
    "bulk": bulk,
    "reads": reads,
    "failover": lose_leaders,
    "memory": remembered_ids,
    "steady": stay,
}


def settings(args: argparse.Namespace, folder: Path) -> str:
    return "\n".join(
        [
            f"{machine()} for three nodes of each system and the client; data in {folder}",
            f"Quorate with its default settings; beside it: {etcd.version() or 'no etcd on PATH'}; "
            f"{redis.version() or 'no Redis on PATH'}",
            f"rounds of {args.seconds:g} s after {args.warm_up:g} s of warm-up; medians of {args.rounds}",
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="votes,resp,bulk,reads,failover,memory", help="sections, divided by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=1.5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--ids", type=int, default=1_000_000)
    parser.add_argument("--steady-minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    args = parser.parse_args()
    chosen = args.only.split(",")
    if unknown := set(chosen) - set(RUN):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(RUN)}")

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder)))
        cluster = stack.enter_context(FreshCluster(folder, settings={"flush.interval_ms": 1000}, resp="resp" in chosen))
        others: dict[str, System] = {}
        if etcd.version() and {"votes", "reads"} & set(chosen):
            others["etcd"] = stack.enter_context(etcd.Etcd(folder))
        if redis.version() and "resp" in chosen:
            others["redis"] = stack.enter_context(redis.Redis(folder))
        if "votes" in chosen:
            others["stock"] = stack.enter_context(stock.Stock(folder))
        with cluster.client() as client:
            client.create_poll("bench", ["happy", "sad"])
        bench = Bench(args, cluster, others)
        print(settings(args, folder))
        for name in chosen:
            print(f"\n{name}: {(RUN[name].__doc__ or '').strip()}", flush=True)
            RUN[name](bench)
        if args.json:
            args.json.write_bytes(msgspec.json.format(msgspec.json.encode({"rows": bench.rows, "facts": bench.facts})))


if __name__ == "__main__":
    main()
