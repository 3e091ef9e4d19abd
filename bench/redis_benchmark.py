"""Load by Redis' own program, redis-benchmark, as a second client beside ours.

It sends one command again and again to one address, so it can send no WAIT after an INCR: what it measures of Redis is
weaker than a vote, since the answer does not wait for a replica. With `min-replicas-to-write` the primary only refuses
writes while it has no replica.
"""

from __future__ import annotations

import csv
import resource
import shutil
import subprocess
import time
from urllib.parse import urlsplit

from bench.load import Figures
from bench.systems import Row, System, cpu_s

NAME = "redis-benchmark"
# Ids are drawn, 2^31 of them: of a million votes some 200 are drawn twice, and answered as duplicates.
VOTE = ["XADD", "poll:bench", "IDMP", "bench", "__rand_int__", "*", "option", "happy"]
INCREMENT = ["INCR", "happy"]
KEYS = 2**31 - 1
FIRST = 20  # requests a client, by which the rate is known
WAIT_S = 120.0  # for the end of a round


def measure(
    name: str, system: System, words: list[str], clients: int, *, pipeline: int, warm_up_s: float, seconds: float
) -> Row:
    """Load for about so long: the program takes a number of requests, which the warm-up tells."""
    port = urlsplit(system.urls[0]).port
    command = [NAME, "-h", "127.0.0.1", "-p", str(port), "-c", str(clients), "-P", str(pipeline), "-r", str(KEYS)]
    command += ["--csv", "--precision", "3"]

    def run(requests: int) -> dict[str, str]:
        done = subprocess.run([*command, "-n", str(requests), *words], capture_output=True, text=True, timeout=WAIT_S)
        if done.returncode:
            raise RuntimeError(f"{NAME} failed: {(done.stderr or done.stdout).strip()}")
        return next(csv.DictReader(done.stdout.splitlines()))

    few = clients * pipeline * FIRST
    rate = float(run(few)["rps"])
    rate = float(run(max(few, int(rate * warm_up_s)))["rps"])
    requests = max(few, int(rate * seconds))
    before_s, client_s, begun_s = cpu_s(system), _children_s(), time.perf_counter()
    said = run(requests)
    took_s = time.perf_counter() - begun_s
    spent_s, client_s = cpu_s(system) - before_s, _children_s() - client_s
    figures = Figures(
        workload=f"{words[0]} x {pipeline}" if pipeline > 1 else words[0],
        clients=clients,
        requests=requests,
        votes=requests,
        seconds=requests / float(said["rps"]) if float(said["rps"]) else took_s,
        votes_per_s=float(said["rps"]),
        p50_ms=float(said["p50_latency_ms"]),
        p99_ms=float(said["p99_latency_ms"]),
        max_ms=float(said["max_latency_ms"]),
        client_cpu_us=client_s * 1e6 / requests,
        failures={},
    )
    return Row(name, figures, spent_s, NAME)


def _children_s() -> float:
    """CPU time of those that have ended: no server has, meanwhile."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def version() -> str | None:
    """The version of the one on PATH, or None."""
    if shutil.which(NAME) is None:
        return None
    return subprocess.run([NAME, "--version"], capture_output=True, text=True, check=True).stdout.strip()
