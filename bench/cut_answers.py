"""`python -m bench.cut_answers`: what one program counts in Redis, and here, when answers are lost on their way.

The program votes by redis-py with its default retries. Before the server stands a proxy that passes everything on, but
loses each fourth answer to a vote, and closes the connection instead. The first row needs `redis-server` on PATH.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from quorate.processes.cluster import FreshCluster
from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from quorate.processes.waiting import wait_for

HOST = "127.0.0.1"
VOTES, EACH = 20, 4
VOTE_COMMANDS = (b"INCR", b"XADD")
READ_BYTES = 65_536

Vote = Callable[[Any, int], object]


def by_incr(client: Any, number: int) -> None:
    client.incr("votes:happy")


def by_xadd(client: Any, number: int) -> None:
    client.xadd("poll:mood", {"option": "happy"}, idmp=("ana", str(number).encode()))


class LossyProxy:
    """Passes on what one client sends at a time, and the answer. `lost`: how many answers it kept."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._votes = self.lost = 0
        (self.port,) = free_ports(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> LossyProxy:
        self._thread.start()
        starting = asyncio.start_server(self._serve, HOST, self.port)
        asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(HOST, self._target)
        while command := await reader.read(READ_BYTES):
            to_server.write(command)
            answer = await from_server.read(READ_BYTES)
            if self._loses(command):
                break
            writer.write(answer)
        to_server.close()
        writer.close()

    def _loses(self, command: bytes) -> bool:
        if not any(name in command for name in VOTE_COMMANDS):
            return False
        self._votes += 1
        loses = self._votes % EACH == 0
        self.lost += loses
        return loses


def run(port: int, vote: Vote) -> int:
    """Vote through a proxy. Returns how many answers were lost."""
    with LossyProxy(port) as proxy, redis.Redis(HOST, proxy.port) as client:
        for number in range(VOTES):
            vote(client, number)
        return proxy.lost


def in_redis(folder: Path) -> tuple[int, int]:
    """How many it says it counted, and how many answers were lost."""
    with redis_server(folder) as port:
        lost = run(port, by_incr)
        with redis.Redis(HOST, port) as client:
            return int(client.get("votes:happy")), lost


def in_quorate(folder: Path) -> tuple[int, int]:
    with FreshCluster(folder, resp=True) as cluster, cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        lost = run(cluster.resp_ports[0], by_xadd)
        return client.results("mood", level="linearizable")["results"]["happy"], lost


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    folder.mkdir()
    options = ["--port", str(port), "--bind", HOST, "--dir", str(folder), "--save", ""]
    server = Process("redis", ["redis-server", *options], folder / "log")
    server.start()
    try:
        wait_for("Redis answers", lambda: _answers(port), deadline_s=20, seen=server.tail)
        yield port
    finally:
        server.close()


def _answers(port: int) -> bool:
    with contextlib.suppress(redis.RedisError), redis.Redis(HOST, port, retry=None) as client:
        return bool(client.ping())
    return False


def main() -> int:
    print(f"{VOTES} votes by redis-py {redis.__version__}, as it comes; each {EACH}th answer is lost on its way")
    with tempfile.TemporaryDirectory(prefix="quorate-cut-answers-") as scratch:
        if shutil.which("redis-server") is None:
            print("redis-server is not on PATH: that row is not run")
        else:
            said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
            version = said.partition("v=")[2].split()[0]
            _row(f"Redis {version}, INCR votes:happy", in_redis(Path(scratch) / "redis"))
        _row("Quorate, XADD poll:mood IDMP ana NUMBER * option happy", in_quorate(Path(scratch) / "quorate"))
    return 0


def _row(what: str, counted_and_lost: tuple[int, int]) -> None:
    counted, lost = counted_and_lost
    print(f"{what}: {lost} answers were lost, {counted} votes counted", flush=True)


if __name__ == "__main__":
    sys.exit(main())
