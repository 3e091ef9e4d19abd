"""Measures what very many readers cost: event streams of one poll, and reads of its results. Prints the settings.

    python -m bench.subscribers [--subscribers 10000] [--nodes 3] [--forms http,resp2,resp3] [--rates 1,200]
                                [--options 10] [--seconds 10]
    python -m bench.subscribers --readers 256 [--options 10,10000] [--seconds 5]

Each form meets a new cluster. Votes come at a steady rate, first without subscribers and then with them, so the
difference is theirs: of the CPU of all nodes, divided by the messages that they got, and of the votes' times. The delay
is from a vote's confirmation to the first tally with it, of each subscriber, for a sample of the votes. Subscribers
share the cores of this machine with the nodes (`bench/crowd.py` has its own CPU time): so trust CPU, not times.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.crowd import Seen
from bench.gaps import percentile_s
from bench.run import machine
from bench.systems import ROOT, measure
from bench.workloads import post
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import NodeProcess

POLL = "bench"
VOTERS = 32  # connections; a vote that finds none free waits, and that time counts
GIVE_UP_S = 20.0
SAMPLED = 40  # votes whose way to all subscribers is looked at
SETTLE_S = 2.0
IDLE_S = 5.0
MB = 1024 * 1024


class Vote(msgspec.Struct):
    due_s: float
    confirmed_s: float
    version: int


class Votes:
    """Casts votes by the clock, however slow the answers are, over all nodes in turn."""

    def __init__(self, places: Sequence[tuple[str, int]], rate: float) -> None:
        self._places, self._rate = places, rate
        self._numbers = itertools.count(time.time_ns() // 1_000_000 % 10**8 * 10**6)
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.cast: list[Vote] = []

    async def run(self, seconds: float) -> list[Vote]:
        opened = [await asyncio.open_connection(*self._places[n % len(self._places)]) for n in range(VOTERS)]
        for connection in opened:
            self._free.put_nowait(connection)
        began_s = time.monotonic()
        async with asyncio.timeout(seconds + GIVE_UP_S), asyncio.TaskGroup() as tasks:
            for number in range(max(1, round(seconds * self._rate))):
                due_s = began_s + number / self._rate
                await asyncio.sleep(due_s - time.monotonic())
                tasks.create_task(self._cast_one(due_s))
        for _, writer in opened:
            writer.transport.abort()
        return self.cast

    async def _cast_one(self, due_s: float) -> None:
        reader, writer = await self._free.get()
        body = b'{"option":"o0","id":"%015d"}' % next(self._numbers)
        writer.write(post("localhost", "/votes", len(body)) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        told = json.loads(body)
        assert told["applied"] == 1, told
        self.cast.append(Vote(due_s, time.monotonic(), told["version"]))
        self._free.put_nowait((reader, writer))


def times(votes: Sequence[Vote]) -> str:
    took_s = [vote.confirmed_s - vote.due_s for vote in votes]
    return f"p50 {percentile_s(took_s, 0.5) * 1e3:.1f}, p99 {percentile_s(took_s, 0.99) * 1e3:.1f} ms"


class CrowdProcess:
    def __init__(self, form: str, places: Sequence[tuple[str, int]], subscribers: int) -> None:
        command = [sys.executable, "-m", "bench.crowd", form, POLL, *(f"{host}:{port}" for host, port in places)]
        command += ["--subscribers", str(subscribers)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._said = self._process.stdin, self._process.stdout
        if not self._said.readline():
            raise SystemExit("the crowd ended before all were there")

    def begin(self) -> None:
        self._order(b"begin\n")

    def end(self) -> Seen:
        return msgspec.json.decode(self._order(b"end\n"), type=Seen)

    def _order(self, order: bytes) -> bytes:
        self._orders.write(order)
        self._orders.flush()
        return self._said.readline()

    def close(self) -> None:
        self._orders.close()
        self._process.wait(20.0)


def delays_s(votes: Sequence[Vote], seen: Seen) -> tuple[list[float], list[float]]:
    """From the confirmation of a sample of votes to each subscriber's first tally with it; and to the last one's."""
    each: list[float] = []
    last: list[float] = []
    for vote in votes[:: max(1, len(votes) // SAMPLED)]:
        waits_s = []
        for versions, moments_s in zip(seen.versions, seen.moments_s, strict=True):
            at = bisect.bisect_left(versions, vote.version)
            if at < len(versions):
                waits_s.append(max(0.0, moments_s[at] - vote.confirmed_s))
        each += waits_s
        last += [max(waits_s)] if len(waits_s) == len(seen.versions) else []
    return each, last


@contextlib.contextmanager
def cluster_of(args: argparse.Namespace, options: int) -> Iterator[FreshCluster]:
    settings = {
        "http.events_max": args.subscribers + 100,
        "http.connections_max": (args.subscribers + 1_000) * 4 // 3,
        "flush.interval_ms": 1_000,
    }
    with (
        tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder) as folder,
        FreshCluster(Path(folder), args.nodes, settings, resp=True) as cluster,
    ):
        with cluster.client() as client:
            client.create_poll(POLL, [f"o{number}" for number in range(options)])
        yield cluster


def follow(args: argparse.Namespace, form: str, options: int) -> None:
    with cluster_of(args, options) as cluster:
        urls = [("127.0.0.1", node.port) for node in cluster.nodes]
        places = urls if form == "http" else [("127.0.0.1", port) for port in cluster.resp_ports]
        cast(cluster, urls, 50.0, 2.0)  # what is done once is nobody's
        alone = {rate: cast(cluster, urls, rate, args.seconds) for rate in args.rates}
        before = [node.memory_bytes() for node in cluster.nodes]
        began_s, cpu_s = time.monotonic(), spent_s(cluster)
        crowd = CrowdProcess(form, places, args.subscribers)
        with contextlib.closing(crowd):
            coming_us = (spent_s(cluster) - cpu_s) / args.subscribers * 1e6
            print(f"\n{form}: {args.subscribers:,} there after {time.monotonic() - began_s:.1f} s, ", end="")
            print(f"{coming_us:.0f} us of the nodes each")
            time.sleep(SETTLE_S)
            grown = sum(node.memory_bytes() for node in cluster.nodes) - sum(before)
            print(f"  memory a subscriber: {grown / args.subscribers / 1024:.1f} KiB")
            cpu_s = spent_s(cluster)
            time.sleep(IDLE_S)
            print(f"  while nothing happens: {(spent_s(cluster) - cpu_s) / IDLE_S * 100:.1f} % of a core")
            for rate, (votes, spent) in alone.items():
                crowd.begin()
                now, now_spent = cast(cluster, urls, rate, args.seconds)
                show(rate, votes, spent, now, now_spent, crowd.end())
            after = sum(node.memory_bytes() for node in cluster.nodes) - sum(before)
            print(f"  memory a subscriber afterwards: {after / args.subscribers / 1024:.1f} KiB")


def spent_s(cluster: FreshCluster) -> float:
    return sum(node.cpu_s() for node in cluster.nodes)


def cast(
    cluster: FreshCluster, places: Sequence[tuple[str, int]], rate: float, seconds: float
) -> tuple[list[Vote], float]:
    """Cast votes, and wait until what they cause is done. Returns them, and the CPU time that the nodes took."""
    before_s = spent_s(cluster)
    votes = asyncio.run(Votes(places, rate).run(seconds))
    time.sleep(SETTLE_S)
    return votes, spent_s(cluster) - before_s


def show(rate: float, votes: Sequence[Vote], spent: float, now: Sequence[Vote], now_spent: float, seen: Seen) -> None:
    each, last = delays_s(now, seen)
    got = seen.messages / max(1, len(seen.versions))
    print(f"  {rate:g} votes/s: {len(now)} votes, {got:.1f} messages a subscriber, {seen.lost} lost")
    print(f"    CPU of the nodes: {now_spent:.2f} s, without subscribers {spent:.2f} s; ", end="")
    print(f"{(now_spent - spent) / max(1, seen.messages) * 1e6:.1f} us a message; the crowd {seen.cpu_s:.2f} s")
    if each:
        p50, p99 = (percentile_s(each, share) * 1e3 for share in (0.5, 0.99))
        print(f"    delay of a subscriber: p50 {p50:.0f}, p99 {p99:.0f} ms; ", end="")
        print(f"of the last one: p50 {percentile_s(last or [0], 0.5) * 1e3:.0f}, max {max(last or [0]) * 1e3:.0f} ms")
    print(f"    a vote: {times(now)}; without subscribers {times(votes)}", flush=True)


def read(args: argparse.Namespace, options: int) -> None:
    """Reads of a poll as fast as they can: of the tally, and of one option."""
    with cluster_of(args, options) as cluster:
        doors = {"http": cluster.urls, "resp": [f"resp://127.0.0.1:{port}" for port in cluster.resp_ports]}
        for door, workload in (("http", "none"), ("http", "weak"), ("resp", f"hgetall-{options}"), ("resp", "hget")):
            system = Door(doors[door], cluster.nodes)
            row = measure(door, system, workload, args.readers, warm_up_s=1, seconds=args.seconds)
            f = row.figures
            print(f"  {workload:14} {f.requests / f.seconds:9,.0f}/s  {row.cpu_us:8.1f} us of the nodes a read", end="")
            print(f"  p50 {f.p50_ms:.1f}, p99 {f.p99_ms:.1f} ms  {f.failures or ''}", flush=True)


class Door(msgspec.Struct):
    """One door of the nodes, as a system to measure."""

    urls: Sequence[str]
    nodes: Sequence[NodeProcess]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--forms", default="http,resp2,resp3")
    parser.add_argument("--rates", default="1,200", help="votes a second, divided by commas")
    parser.add_argument("--options", default="10", help="of the poll, divided by commas")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--readers", type=int, default=0, help="measure so many readers, and no subscribers")
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    args = parser.parse_args()
    args.rates = [float(rate) for rate in args.rates.split(",")]
    print(f"{machine()} for {args.nodes} nodes and the clients\n{' '.join(sys.argv[1:]) or 'no options'}")
    for options in map(int, args.options.split(",")):
        if args.readers:
            print(f"\na poll of {options:,} options, {args.readers} readers")
            read(args, options)
            continue
        for form in args.forms.split(","):
            print(f"\na poll of {options:,} options", end="")
            follow(args, form, options)


if __name__ == "__main__":
    main()
