"""Measures the replica: commits beside stock PySyncObj, restarts after a kill, and pauses caused by snapshots.

    python -m bench.replica [--only propose,restart,stall] [--rounds 3] [--seconds 1.5] [--json FILE]

`propose` measures three processes on loopback, with the proposers in the process of the leader. In ours, a majority
checks an entry and syncs it to disk before the answer. Stock is PySyncObj 0.3.17 on its own transport, with its log in
memory or in its journal file; it syncs nothing. The systems take turns and medians are shown: trust the ratios, not the
rates.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

import quorate
from bench import restart, stalls
from bench.in_process import PAYLOAD_BYTES, Figures
from bench.run import cpu_name
from bench.systems import ROOT
from quorate.processes.ports import free_ports
from quorate.processes.process import die_with_us
from quorate.processes.waiting import wait_for

PROPOSERS = (1, 32, 256)
TURNS = [("ours", "propose"), ("ours", "votes"), ("stock", "propose"), ("stock-file", "propose")]
NAMES = {
    ("ours", "propose"): "ours, durable: propose",
    ("ours", "votes"): "ours, durable: votes",
    ("stock", "propose"): "stock, log in memory",
    ("stock-file", "propose"): "stock, journal file, no sync",
}


class Row(msgspec.Struct):
    system: str
    what: str
    proposers: int
    figures: Figures


class ReplicaProcess:
    """A process of `bench.in_process`, which is given orders."""

    def __init__(self, system: str, name: str, folder: Path, peers: str) -> None:
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "bench.in_process", system, name, str(folder), peers]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_us
        )

    def ask(self, order: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def leads(self) -> bool:
        return self.ask("leads") == "true\n"

    def close(self) -> None:
        self._process.kill()
        self._process.wait(timeout=20)


@contextlib.contextmanager
def three(system: str, folder: Path) -> Iterator[list[ReplicaProcess]]:
    names = ["n1", "n2", "n3"]
    peers = ",".join(f"{name}=127.0.0.1:{port}" for name, port in zip(names, free_ports(3), strict=True))
    with contextlib.ExitStack() as stack:
        nodes = []
        for name in names:
            node = ReplicaProcess(system, name, folder / system / name, peers)
            stack.callback(node.close)
            nodes.append(node)
        yield nodes


def leader_of(nodes: list[ReplicaProcess]) -> ReplicaProcess:
    return wait_for("a node leads", lambda: next((node for node in nodes if node.leads()), None))


def propose(args: argparse.Namespace, folder: Path) -> list[Row]:
    """Entries of 200 bytes, and votes with ids in batches as in practice, from proposers in the leader's process."""
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        systems = {system: stack.enter_context(three(system, folder)) for system in dict(TURNS[::-1])}
        print(f"{'':30} {'proposers':>9} {'median':>12}  {'lowest to highest':>18}  p50 ms   p99 ms   us CPU")
        for proposers in PROPOSERS:
            some: dict[tuple[str, str], list[Figures]] = {turn: [] for turn in TURNS}
            for _ in range(args.rounds):
                for system, what in TURNS:
                    order = f"run {what} {proposers} {args.warm_up} {args.seconds}"
                    figures = msgspec.json.decode(leader_of(systems[system]).ask(order), type=Figures)
                    some[system, what].append(figures)
                    rows.append(Row(system, what, proposers, figures))
            for turn in TURNS:
                print_median(NAMES[turn], proposers, some[turn])
    return rows


def print_median(name: str, proposers: int, rounds: list[Figures]) -> None:
    rounds.sort(key=lambda each: each.commits / each.seconds)
    low, middle, high = (rounds[at] for at in (0, len(rounds) // 2, -1))
    rates = [each.commits / each.seconds for each in (low, high)]
    failures = sum(each.failures for each in rounds)
    print(
        f"{name:30} {proposers:9} {middle.commits / middle.seconds:10,.0f}/s  {rates[0]:7,.0f} to {rates[1]:7,.0f}"
        f"  {middle.p50_ms:6.2f}  {middle.p99_ms:7.2f}  {middle.cpu_us:7.1f}"
        + (f"  failures {failures}" if failures else ""),
        flush=True,
    )


def restarts(args: argparse.Namespace, folder: Path) -> list[restart.Restart]:
    """Seconds from the start of a killed node's process until /readyz says yes, and until its log is applied."""
    rows = []
    for row in restart.histories(folder / "restart", args.ids, args.restarts):
        rows.append(row)
        print(row.line(), flush=True)
    return rows


def stall(args: argparse.Namespace, folder: Path) -> list[stalls.Stalls]:
    """The longest time between two commits that 32 HTTP clients saw, without and with snapshots of a big state."""
    # More ids than asked for: the log always keeps 8 MiB, and a snapshot is taken only for what is older.
    rows = stalls.measure(
        folder / "stall", args.ids * 3 // 2, args.options, args.stall_snapshot_bytes, args.stall_seconds
    )
    for row in rows:
        print("\n".join(row.lines()), flush=True)
    return rows


RUN: dict[str, Callable[[argparse.Namespace, Path], object]] = {
    "propose": propose,
    "restart": restarts,
    "stall": stall,
}


def settings(args: argparse.Namespace, folder: Path) -> str:
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    return "\n".join(
        [
            f"{time.strftime('%Y-%m-%d %H:%M')}: Quorate {quorate.__version__}, {system}; data in {folder}",
            f"{os.cpu_count()} cores ({cpu_name()}), load {os.getloadavg()[0]:.1f} before we began",
            f"propose: {PAYLOAD_BYTES} bytes, {args.seconds:g} s after {args.warm_up:g} s, medians of {args.rounds}; "
            f"restart: {args.ids:,} ids; stall: {args.ids:,} ids, {args.options:,} options, {args.stall_seconds:g} s",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="propose,restart,stall", help="sections, divided by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--warm-up", type=float, default=0.5)
    parser.add_argument("--ids", type=int, default=1_000_000)
    parser.add_argument("--restarts", type=int, default=2, help="kills of a node with each history")
    parser.add_argument("--options", type=int, default=100_000)
    parser.add_argument("--stall-seconds", type=float, default=15.0)
    parser.add_argument("--stall-snapshot-bytes", type=int, default=262_144)
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    parser.add_argument("--json", type=Path, help="write all figures there")
    args = parser.parse_args()
    chosen = args.only.split(",")
    if unknown := set(chosen) - set(RUN):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(RUN)}")
    with tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder, ignore_cleanup_errors=True) as folder:
        print(settings(args, Path(folder)))
        results = {}
        for name in chosen:
            print(f"\n{name}: {(RUN[name].__doc__ or '').strip()}", flush=True)
            results[name] = RUN[name](args, Path(folder))
    if args.json:
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))


if __name__ == "__main__":
    main()
