"""Redis with two replicas, on loopback: each write is synced (AOF always) and acknowledged by a replica (WAIT 1)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from functools import partial
from pathlib import Path

from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from quorate.processes.waiting import wait_for

ASK_S = 2.0
START_S = 30.0


class Redis:
    """The first node is the primary, and takes the writes."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        ports = free_ports(size)
        self.urls = [f"resp://127.0.0.1:{ports[0]}"]
        self._primary = ports[0]
        self._replicas = size - 1
        self.nodes = []
        for number, port in enumerate(ports, 1):
            data = folder / f"r{number}"
            data.mkdir()
            of = [] if number == 1 else ["--replicaof", f"127.0.0.1 {ports[0]}"]
            self.nodes.append(Process(f"r{number}", [*command(port, data), *of], folder / f"r{number}.log"))

    def __enter__(self) -> Redis:
        for node in self.nodes:
            node.start()
        seen = self.nodes[0].tail
        wait_for("the replicas of Redis follow", partial(self._follow), deadline_s=START_S, seen=seen)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.close()

    def _follow(self) -> bool:
        """Whether all replicas have all that the primary has."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._primary), ASK_S) as sock:
            sock.sendall(b"INFO replication\r\n")
            return sock.recv(16_384).count(b"state=online") == self._replicas
        return False


def command(port: int, data: Path) -> list[str]:
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(data), "save": "", "repl-diskless-sync-delay": "0"}
    options |= {"appendonly": "yes", "appendfsync": "always", "min-replicas-to-write": "1"}
    return ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))]


def version() -> str | None:
    """The version of the Redis on PATH, or None."""
    if shutil.which("redis-server") is None:
        return None
    return subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout.strip()
