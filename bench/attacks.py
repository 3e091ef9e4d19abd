"""Attacks a cluster of three while honest clients vote, and shows what they and the nodes notice of it.

    python -m bench.attacks [--only NAME,NAME] [--at all] [--seconds 8] [--cpu 0.25] [--tls] [--descriptors N]

Each attack meets a new cluster. Honest clients (`bench/honest.py`) are measured alone, then under the attack, then
after it. The attacker is a process of its own, as nice as can be, that takes at most --cpu of one core; the nodes share
the cores of this machine with it and with each other, which no real cluster does. So read the ratios as upper bounds,
and compare them with the row "nothing". "And stood" is how long a node's loop was ready and had no core: what clients
waited for that is not the node's doing.

A row is good if the p99 of both kinds of honest clients stays under five times what it was, no vote fails, no node
stops, the term stays, and no node holds more memory than 2.5 times what it held idle and the budgets for clients.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
import uvloop

import quorate
from bench.attack_list import ATTACKS, Attack
from bench.honest import Honest, Noticed
from bench.niceness import set_nice
from bench.run import cpu_name
from bench.systems import ROOT
from quorate.doors.limits import Limits
from quorate.http.body import BODIES_BYTES_MAX
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import QUORATE, NodeProcess
from quorate.processes.process import Process
from quorate.vote import OPTIONS_PER_POLL_MAX

MB = 1024 * 1024
BUDGETS_BYTES = Limits().waiting_bytes + Limits().unsent_bytes + BODIES_BYTES_MAX
TIMES_IDLE, TIMES_P99 = 2.5, 5.0
LOOK_S = 0.1
CA = "ca.pem"  # in the folder of the cluster
SETTLE_S = 2.0
MANY_POLLS, OPTIONS_EACH = 500, 200

At = Literal["all", "leader", "follower"]


class Row(msgspec.Struct):
    attack: str
    alone: dict[str, Noticed]
    under: dict[str, Noticed]
    after: dict[str, Noticed]
    idle_bytes: dict[str, int]  # by node, resident, with honest clients
    most_bytes: dict[str, int]  # under the attack, and after it
    cpu_s: dict[str, float]  # by node, under the attack
    stood_s: dict[str, float]  # by node: how long its loop was ready to go on, and had no core
    terms: tuple[int, int]
    stopped: list[str]  # nodes

    def ratio(self, kind: str) -> float:
        return self.under[kind].p99_ms / max(self.alone[kind].p99_ms, 0.001)

    def faults(self) -> list[str]:
        found = [f"{kind} wait {self.ratio(kind):.1f} times" for kind in self.under if self.ratio(kind) >= TIMES_P99]
        found += [f"{kind} fail: {n.failures}" for kind, n in self.under.items() if n.failures]
        found += [f"{node} stopped" for node in self.stopped]
        if self.terms[0] != self.terms[1]:
            found.append(f"term {self.terms[0]} became {self.terms[1]}")
        for node, most in self.most_bytes.items():
            if most > (allowed := TIMES_IDLE * self.idle_bytes[node] + BUDGETS_BYTES):
                found.append(f"{node} holds {most / MB:,.0f} MB of {allowed / MB:,.0f}")
        return found


HEAD = (
    f"{'attack':19} {'voters: p50, p99 ms':>22} {'under it':>15} {'times':>6}  {'newcomers: p50, p99':>20} "
    f"{'under it':>15} {'times':>6}  {'Redis: p50, p99':>20} {'under it':>15} {'times':>6}  "
    f"{'MB idle, most':>14}  {'CPU s of each node':>18} {'and stood':>14}"
)


def print_row(row: Row) -> None:
    cells = [f"{row.attack:19}"]
    for kind, width in (("voters", 22), ("newcomers", 20), ("redis", 20)):
        alone, under = row.alone[kind], row.under[kind]
        cells.append(f"{f'{alone.p50_ms:.1f}, {alone.p99_ms:.1f}':>{width}}")
        cells.append(f"{f'{under.p50_ms:.1f}, {under.p99_ms:.1f}':>15} {row.ratio(kind):6.1f} ")
    most, node = max((most, node) for node, most in row.most_bytes.items())
    cells.append(f"{f'{row.idle_bytes[node] / MB:.0f}, {most / MB:.0f}':>14} ")
    cells.append(f"{' '.join(f'{cpu_s:.1f}' for cpu_s in row.cpu_s.values()):>18}")
    cells.append(f"{' '.join(f'{stood_s:.1f}' for stood_s in row.stood_s.values()):>14}")
    print(" ".join(cells) + "".join(f"\n    {fault}" for fault in row.faults()), flush=True)


def measure(name: str, args: argparse.Namespace, folder: Path) -> Row:
    settings, trusts = made_for_tls(folder) if args.tls else ({}, None)
    settings |= {"flush.interval_ms": 1000}
    command = limited(args.descriptors) if args.descriptors else QUORATE
    ca = str(folder / CA) if trusts else None
    with FreshCluster(folder, settings=settings, command=command, ca=ca, resp=True) as cluster:
        prepare(cluster, ATTACKS[name])
        for node in cluster.nodes if args.nice else ():
            set_nice(args.nice, node.pid)
        return uvloop.run(attacked(name, cluster, args, folder, trusts))


async def attacked(
    name: str, cluster: FreshCluster, args: argparse.Namespace, folder: Path, trusts: ssl.SSLContext | None
) -> Row:
    leader = cluster.leader()
    host = "localhost" if trusts else "127.0.0.1"
    places = [(host, node.port) for node in cluster.nodes]
    honest = Honest(places, [(host, port) for port in cluster.resp_ports], trusts)
    watched = Watched(cluster)
    await asyncio.sleep(args.warm_up)
    honest.noticed()
    await watched.for_s(args.seconds)
    alone, idle_bytes = honest.noticed(), watched.most()
    term = watched.term(leader)
    attacker = start_attacker(name, victims(cluster, leader, args.at), args, folder, bool(trusts))
    try:
        await asyncio.sleep(SETTLE_S)
        honest.noticed()
        cpu_s, stood_s = watched.cpu_s(), watched.stood_s()
        await watched.for_s(args.seconds)
        under = honest.noticed()
        cpu_s, stood_s = since(cpu_s, watched.cpu_s()), since(stood_s, watched.stood_s())
        if not attacker.running:
            raise RuntimeError(f"the attacker ended by itself:\n{attacker.tail()}")
    finally:
        attacker.close()
    await watched.for_s(args.after)
    after = honest.noticed()
    await honest.stop()
    stopped = [node.id for node in cluster.nodes if not node.running]
    terms, most_bytes = (term, watched.term(leader)), watched.most()
    return Row(name, alone, under, after, idle_bytes, most_bytes, cpu_s, stood_s, terms, stopped)


def since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in now.items()}


class Watched:
    """The nodes of a cluster, looked at while something goes on."""

    def __init__(self, cluster: FreshCluster) -> None:
        self._nodes = cluster.nodes
        self._most: dict[str, int] = {}

    async def for_s(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            for node in self._nodes:
                with suppress(OSError):
                    self._most[node.id] = max(self._most.get(node.id, 0), node.memory_bytes())
            await asyncio.sleep(LOOK_S)

    def most(self) -> dict[str, int]:
        """Since this was called last."""
        most, self._most = self._most, {}
        return most

    def cpu_s(self) -> dict[str, float]:
        return {node.id: node.cpu_s() for node in self._nodes if node.running}

    def stood_s(self) -> dict[str, float]:
        """How long the main thread of each node, which runs the loop, has waited for a core (Linux)."""
        running = [node for node in self._nodes if node.running]
        return {node.id: int(Path(f"/proc/{node.pid}/schedstat").read_text().split()[1]) / 1e9 for node in running}

    def term(self, leader: NodeProcess) -> int:
        """The greatest that a node knows."""
        return max(int((node.get("/leader") or {}).get("term", 0)) for node in self._nodes)


def start_attacker(name: str, nodes: list[NodeProcess], args: argparse.Namespace, folder: Path, tls: bool) -> Process:
    places = [str(getattr(node.place, ATTACKS[name].at)) for node in nodes]
    command = [sys.executable, "-m", "bench.attackers", name, *places, "--cpu", str(args.cpu)]
    command += ["--nice", str(min(19, 19 + args.nice))]
    command += ["--ca", str(folder / CA)] if tls else []
    attacker = Process("attacker", command, folder / "attacker.log", cwd=ROOT)
    attacker.start()
    return attacker


def victims(cluster: FreshCluster, leader: NodeProcess, at: At) -> list[NodeProcess]:
    if at == "all":
        return cluster.nodes
    return [leader] if at == "leader" else [next(node for node in cluster.nodes if node is not leader)]


def prepare(cluster: FreshCluster, attack: Attack) -> None:
    with cluster.client() as client:
        client.create_poll("bench", ["happy", "sad"])
        if attack.needs == "big poll":
            client.create_poll("big", ["happy", *(f"option {n:06}" for n in range(OPTIONS_PER_POLL_MAX - 1))])
        for number in range(MANY_POLLS if attack.needs == "many polls" else 0):
            client.create_poll(f"poll {number}", ["happy", *(f"{number} {n}" for n in range(OPTIONS_EACH))])
    cluster.wait_for("all nodes agree", lambda: cluster.results("bench"))


def limited(descriptors: int) -> list[str]:
    """The command of a node that may have only so many files and sockets open."""
    shell = shutil.which("sh") or "/bin/sh"
    return [shell, "-c", f'ulimit -n {descriptors}; exec {sys.executable} -P -m quorate "$@"', "sh"]


def made_for_tls(folder: Path) -> tuple[dict[str, Any], ssl.SSLContext]:
    """The settings of nodes that speak TLS, with a certificate made now, and a context that trusts it."""
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "node.key", folder / CA
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    command += f" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return {"http.tls_cert": str(certificate), "http.tls_key": str(key)}, ssl.create_default_context(cafile=certificate)


def settings(args: argparse.Namespace) -> str:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return "\n".join(
        [
            f"{time.strftime('%Y-%m-%d %H:%M')}: Quorate {quorate.__version__}, Python {platform.python_version()}, "
            f"{os.cpu_count()} cores ({cpu_name()}) for three nodes, the honest clients and the attacker; load {load}",
            f"attacked: {args.at}; {args.seconds:g} s alone, {args.seconds:g} s under the attack; the attacker takes "
            f"{args.cpu:g} of a core, at 19 nicer; {'TLS' if args.tls else 'no TLS'}; descriptors of a node: "
            f"{args.descriptors or soft}",
            f"memory may be {TIMES_IDLE:g} times idle + {BUDGETS_BYTES / MB:.0f} MB of budgets",
        ]
    )


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    listed = "\n".join(f"    {name:19} {attack.about}" for name, attack in ATTACKS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nattacks, in which every connection does the same:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default=",".join(ATTACKS), help="names of attacks, divided by commas")
    parser.add_argument("--at", choices=["all", "leader", "follower"], default="all")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--after", type=float, default=2.0, help="seconds of looking on when the attack is over")
    parser.add_argument("--cpu", type=float, default=0.25, help="of one core, that the attacker takes at most")
    parser.add_argument("--nice", type=int, default=0, help="of nodes and honest clients, beside other work; root")
    parser.add_argument("--tls", action="store_true", help="the nodes speak TLS, and so do most attackers")
    parser.add_argument("--descriptors", type=int, help="how many each node may have (ulimit -n)")
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    parser.add_argument("--json", type=Path, help="where to write all that was measured")
    args = parser.parse_args(words)
    args.names = args.only.split(",")
    if unknown := [name for name in args.names if name not in ATTACKS]:
        parser.error(f"no such attack: {', '.join(unknown)}; there are {', '.join(ATTACKS)}")
    return args


def main() -> int:
    args = parsed()
    if args.nice:
        set_nice(args.nice)
    print(f"{settings(args)}\n\n{HEAD}", flush=True)
    rows = []
    for name in args.names:
        with tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder) as folder:
            rows.append(measure(name, args, Path(folder)))
        print_row(rows[-1])
    if args.json:
        args.json.write_bytes(msgspec.json.encode(rows))
    return 1 if any(row.faults() for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
