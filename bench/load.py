"""A cheap load generator: clients of HTTP/1.1 or RESP in one process, each of which waits for its answer.

It is no general client. It sends requests that were made as bytes before, and reads only the status of an
answer, its length, and whether it has the words that mean success. So it takes some ten microseconds a request, and the
server is what is measured. The same code is used for each system that is compared.

    python -m bench.load WORKLOAD URL... [--clients 32] [--warm-up 1] [--seconds 5]

The first JSON line says that the warm-up is over: then the caller reads the CPU times. The second has the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.workloads import WORKLOADS, Workload

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
AGAIN_S = 0.02  # a client that was refused waits so long, as a polite client does


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


class Run:
    """What all clients share: the number of the next request, and what was measured since the warm-up ended."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self.workload = workload
        self.number = seed
        self.running = True
        self.took_s: list[float] = []
        self.failures: Counter[str] = Counter()

    def clear(self) -> None:
        self.took_s.clear()
        self.failures.clear()


class Client(asyncio.Protocol):
    """One connection: it sends a request, reads its answer, and sends the next request."""

    transport: asyncio.Transport

    def __init__(self, run: Run, make: Callable[[int], bytes], closed: Callable[[], None]) -> None:
        self.run, self.make, self.closed = run, make, closed
        self.rest = b""
        self.sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(
            asyncio.Transport, transport
        )  # that of uvloop has the same methods, but another base class
        self.send()

    def send(self) -> None:
        run = self.run
        if not run.running:
            self.transport.close()
            return
        run.number = number = run.number + 1
        request = self.make(number)
        self.sent_s = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        end = data.find(b"\r\n\r\n")
        found = LENGTH.search(data, 0, end) if end > 0 else None
        if found is None:
            if end > 0:
                self.run.failures["answer without a length"] += 1
                self.transport.close()
            self.rest = data
            return
        if len(data) < end + 4 + int(found[1]):
            self.rest = data
            return
        self.rest = b""
        self.answered(data)

    def answered(self, data: bytes) -> None:
        run = self.run
        if data.startswith(b"HTTP/1.1 200") and run.workload.success in data:
            run.took_s.append(time.perf_counter() - self.sent_s)
            self.send()
            return
        run.failures[data[9:12].decode() if data[9:12] != b"200" else data[-100:].decode("utf-8", "replace")] += 1
        asyncio.get_running_loop().call_later(AGAIN_S, self.send)

    def connection_lost(self, error: Exception | None) -> None:
        if self.run.running:
            self.run.failures["connection lost"] += 1
        self.closed()


class RespClient(Client):
    """The same with Redis' protocol: an answer is complete when it has all its lines."""

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        lines = self.run.workload.lines
        if data.count(b"\r\n") < lines and not data.startswith(b"-"):
            self.rest = data
            return
        self.rest = b""
        if self.run.workload.success in data and not data.endswith(b"\r\n:0\r\n") and b"\n-" not in data:
            self.run.took_s.append(time.perf_counter() - self.sent_s)
            self.send()
        else:
            self.run.failures[data[:100].decode("utf-8", "replace")] += 1
            self.transport.close()


async def keep_connected(run: Run, host: str, port: int) -> None:
    """One client for the whole run. It connects again if the server closes the connection."""
    loop = asyncio.get_running_loop()
    make, kind = run.workload.maker(f"{host}:{port}"), RespClient if run.workload.lines else Client
    while run.running:
        gone = asyncio.Event()
        try:
            await loop.create_connection(partial(kind, run, make, gone.set), host, port)
        except OSError as error:
            run.failures[type(error).__name__] += 1
            await asyncio.sleep(AGAIN_S)
        else:
            await gone.wait()


async def drive(workload: Workload, urls: list[str], clients: int, warm_up_s: float, seconds: float) -> Figures:
    run = Run(workload, seed=time.time_ns() // 1_000_000 % 10**8 * 10**6)
    places = [(parts.hostname or "127.0.0.1", parts.port or 80) for parts in map(urlsplit, urls)]
    tasks = [asyncio.create_task(keep_connected(run, *places[i % len(places)])) for i in range(clients)]
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
