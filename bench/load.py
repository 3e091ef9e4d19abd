"""A cheap load generator: many clients of one protocol in one process, each of which waits for its answer.

Its clients (`load_clients.py`) are no general ones. They send requests that were made as bytes before, and read of an
answer only where it ends and whether it means success. So one takes ten to twenty microseconds a request, and the
server is what is measured. The same loop is used for each system that is compared.

    python -m bench.load WORKLOAD URL... [--clients 32] [--warm-up 1] [--seconds 5]

The first JSON line says that the warm-up is over: then the caller reads the CPU times. The second has the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections import Counter
from functools import partial
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.load_clients import AGAIN_S, CLIENTS, Run
from bench.workloads import WORKLOADS, Workload


class Figures(msgspec.Struct):
    """What one run measured. Latencies are in milliseconds, and only of successful requests."""

    workload: str
    clients: int
    requests: int
    votes: int
    seconds: float
    votes_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    client_cpu_us: float  # of this process, a request
    failures: dict[str, int]


async def keep_connected(run: Run, host: str, port: int, clients: int = 1) -> None:
    """One connection for the whole run. It is made again if the server closes it."""
    loop = asyncio.get_running_loop()
    make, kind = run.workload.maker(f"{host}:{port}"), CLIENTS[run.workload.protocol]
    while run.running:
        gone = asyncio.Event()
        try:
            await loop.create_connection(partial(kind, run, make, gone.set, clients), host, port)
        except OSError as error:
            run.failures[type(error).__name__] += 1
            await asyncio.sleep(AGAIN_S)
        else:
            await gone.wait()


def first_number(now_ms: int) -> int:
    """Of a run that begins now: no other one of these hours has it. Sixteen times as much has as many digits still."""
    return now_ms % (6 * 10**7) * 10**6


async def drive(workload: Workload, urls: list[str], clients: int, warm_up_s: float, seconds: float) -> Figures:
    run = Run(workload, seed=first_number(time.time_ns() // 1_000_000))
    places = [(parts.hostname or "127.0.0.1", parts.port or 80) for parts in map(urlsplit, urls)]
    shares = Counter(places[i % len(places)] for i in range(clients))
    if CLIENTS[workload.protocol].is_shared:
        connections = [keep_connected(run, *place, share) for place, share in shares.items()]
    else:
        connections = [keep_connected(run, *place) for place in shares.elements()]
    tasks = [asyncio.create_task(connection) for connection in connections]
    await asyncio.sleep(warm_up_s)
    gc.freeze()
    gc.disable()
    print('{"event":"warm"}', flush=True)
    run.clear()
    start_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    end_s, cpu_s = time.perf_counter(), time.process_time() - cpu_s
    took_s, failures = sorted(run.took_s), dict(run.failures)
    run.running = False
    await asyncio.wait(tasks, timeout=5.0)
    return figures(workload, clients, took_s, failures, end_s - start_s, cpu_s)


def figures(
    workload: Workload, clients: int, took_s: list[float], failures: dict[str, int], seconds: float, cpu_s: float
) -> Figures:
    count = len(took_s)
    at = [took_s[min(count - 1, int(count * q))] * 1e3 if count else 0.0 for q in (0.5, 0.99, 1.0)]
    return Figures(
        workload=workload.name,
        clients=clients,
        requests=count,
        votes=count * workload.votes,
        seconds=seconds,
        votes_per_s=count * workload.votes / seconds,
        p50_ms=at[0],
        p99_ms=at[1],
        max_ms=at[2],
        client_cpu_us=cpu_s * 1e6 / max(count, 1),
        failures=failures,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("url", nargs="+")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--warm-up", type=float, default=1.0, metavar="S")
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    drive_once = drive(WORKLOADS[args.workload], args.url, args.clients, args.warm_up, args.seconds)
    print(msgspec.json.encode(uvloop.run(drive_once)).decode(), flush=True)


if __name__ == "__main__":
    main()
