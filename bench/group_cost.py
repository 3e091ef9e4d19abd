"""Counts what one group of votes costs three nodes: CPU time, and system calls of the leader and of all nodes.

    python -m bench.group_cost [--clients 1,32,256] [--seconds 3] [--calls 12] [--door http]

A group is one entry of the log. The clients are spread over the three nodes. CPU times are measured first, of the
nodes alone; then `strace` counts their system calls, which slows them, so groups are bigger there. It has to be on
PATH. Busy machines count well: a call is a call.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.run import RespDoors
from bench.systems import ROOT, Row, System, cpu_s, measure
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import NodeProcess

WARM_UP_S = 1.0
ATTACHED = "attached"
STRACE_S = 10.0  # for strace to attach, and to write its table


def entries(node: NodeProcess) -> int:
    """How many entries this node has applied."""
    status: dict[str, Any] = node.get("/status")
    return int(status["raft"]["applied_index"])


def cpu_of_a_group(cluster: FreshCluster, system: System, workload: str, clients: int, seconds: float) -> str:
    began, began_cpu_s = entries(cluster.nodes[0]), cpu_s(system)
    row: Row = measure("quorate", system, workload, clients, warm_up_s=WARM_UP_S, seconds=seconds)
    groups, spent_s = entries(cluster.nodes[0]) - began, cpu_s(system) - began_cpu_s
    figures = row.figures
    return (
        f"{figures.votes_per_s:,.0f} votes/s, {row.cpu_us:,.0f} us CPU a vote; "
        f"{spent_s * 1e6 / max(groups, 1):,.0f} us CPU a group of all nodes"
    )


class Counting:
    """`strace -c` of one node, all its threads."""

    def __init__(self, node: NodeProcess, table: Path) -> None:
        self._table = table
        self._before = entries(node)
        self._node = node
        command = ["strace", "-c", "-f", "-U", "calls,name", "-p", str(node.pid), "-o", str(table)]
        self._strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._strace.stderr is not None
        while ATTACHED not in self._strace.stderr.readline():
            if self._strace.poll() is not None:
                raise SystemExit("strace could not attach to a node: it may need root, or kernel.yama.ptrace_scope=0")

    def stop(self) -> dict[str, float]:
        """The calls by name, a group."""
        self._strace.send_signal(signal.SIGINT)
        self._strace.wait(STRACE_S)
        groups = max(entries(self._node) - self._before, 1)
        calls: dict[str, float] = {}
        for line in self._table.read_text().splitlines():
            words = line.split()
            if len(words) == 2 and words[0].isdigit() and words[1] != "total":
                calls[words[1]] = int(words[0]) / groups
        return calls


def calls_of_a_group(
    cluster: FreshCluster, system: System, workload: str, clients: int, seconds: float, folder: Path
) -> dict[str, dict[str, float]]:
    leader = cluster.leader()
    command = [sys.executable, "-m", "bench.load", workload, *system.urls, "--clients", str(clients)]
    command += ["--warm-up", str(WARM_UP_S), "--seconds", str(seconds + STRACE_S)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as load:
        assert load.stdout is not None
        load.stdout.readline()  # the warm-up is over
        counting = {node.id: Counting(node, folder / f"{node.id}-{clients}") for node in cluster.nodes}
        with contextlib.suppress(subprocess.TimeoutExpired):
            load.wait(seconds)
        counted = {id: each.stop() for id, each in counting.items()}
        load.kill()
    everywhere: dict[str, float] = {}
    for name, calls in (item for each in counted.values() for item in each.items()):
        everywhere[name] = everywhere.get(name, 0.0) + calls
    return {"leader": counted[leader.id], "all nodes": everywhere}


def print_table(counted: dict[str, dict[str, float]], shown: int) -> None:
    print(f"  {'calls a group':16}" + "".join(f"{whose:>12}" for whose in counted))
    everywhere = counted["all nodes"]
    for name in sorted(everywhere, key=everywhere.__getitem__, reverse=True)[:shown]:
        print(f"  {name:16}" + "".join(f"{calls.get(name, 0.0):12.2f}" for calls in counted.values()))
    print(f"  {'all':16}" + "".join(f"{sum(calls.values()):12.2f}" for calls in counted.values()), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", default="1,32,256", help="how many at a time, divided by commas")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--calls", type=int, default=12, help="show so many kinds of system calls")
    parser.add_argument("--door", choices=["http", "resp"], default="http")
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    args = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder)))
        resp = args.door == "resp"
        cluster = stack.enter_context(FreshCluster(folder, settings={"flush.interval_ms": 1000}, resp=resp))
        cluster.nodes.sort(key=NodeProcess.leads)  # so the first clients are at followers, in each run
        system, workload = (RespDoors(cluster), "resp") if resp else (cluster, "vote")
        with cluster.client() as client:
            client.create_poll("bench", ["happy", "sad"])
        for clients in map(int, args.clients.split(",")):
            print(f"\n{clients} clients: {cpu_of_a_group(cluster, system, workload, clients, args.seconds)}")
            if shutil.which("strace") is None:
                print("  no strace on PATH: its calls are not counted")
                continue
            counted = calls_of_a_group(cluster, system, workload, clients, args.seconds, folder)
            print_table(counted, args.calls)


if __name__ == "__main__":
    main()
