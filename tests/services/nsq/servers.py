"""Start, kill, pause and restart nsqd and nsqlookupd in tests: the real programs where they are on PATH, or the double.

Every process is on loopback, on ports the system chose and that it keeps over a restart, and in a folder of its own.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from tests.waiting import wait_for

Kind = Literal["double", "nsqd"]
ROOT = Path(__file__).parents[3]
DURABLE = {"mem_queue_size": 0, "sync_every": 1}  # either flag alone loses everything that was queued

KINDS = [
    pytest.param("double", id="double"),
    pytest.param(
        "nsqd",
        id="nsqd",
        marks=pytest.mark.skipif(
            not (shutil.which("nsqd") and shutil.which("nsqlookupd")),
            reason="nsqd and nsqlookupd are not on PATH: held to by the double alone",
        ),
    ),
]


def _command(kind: Kind, program: str) -> list[str]:
    if kind == "double":
        return [sys.executable, "-m", "tests.services.nsq.double", program]
    path = shutil.which(program)
    assert path is not None
    # Compression is off by default nowhere but here: the double offers none, and both must answer alike.
    return [path, "--deflate=false", "--snappy=false"] if program == "nsqd" else [path]


class Server:
    """One process. `flags` are the real program's, with `_` for `-`; they hold for every start."""

    def __init__(self, kind: Kind, program: Literal["nsqd", "nsqlookupd"], folder: Path, **flags: object) -> None:
        self.kind, self.program, self.folder, self.flags = kind, program, folder, flags
        self.tcp = self.http = "127.0.0.1:0"
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if program == "nsqd":
            self.flags = {"data_path": str(folder), "broadcast_address": "127.0.0.1"} | flags

    def start(self) -> Server:
        self._starts += 1
        log_path = self.folder / f"{self.program}-{self._starts}.log"
        flags = {**self.flags, "tcp_address": self.tcp, "http_address": self.http}
        given = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
        with log_path.open("wb") as log:
            self._process = subprocess.Popen([*_command(self.kind, self.program), *given], cwd=ROOT, stderr=log)
        self.tcp, self.http = wait_for(
            f"{self.program} listens", lambda: self._listening(log_path), seen=log_path.read_text
        )
        return self

    def _listening(self, log_path: Path) -> tuple[str, str] | None:
        assert self._process is not None
        found = dict(re.findall(r"(TCP|HTTP): listening on (\S+)", log_path.read_text()))
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.program} ended at once: {log_path.read_text()}")
        return (found["TCP"], found["HTTP"]) if len(found) == 2 else None

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
                if number is not signal.SIGKILL:
                    self._process.send_signal(signal.SIGCONT)
            self._process.wait(timeout=20)
            self._process = None

    def kill(self) -> None:
        """As `kill -9`, or a machine that dies without losing its disk."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.tcp.rsplit(":", 1)
        return host, int(port)

    # ---- HTTP -------------------------------------------------------------------------------------------------------

    def request(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.http, timeout=10)
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, target: str) -> Any:
        status, body = self.request("GET", target)
        assert status == 200, (status, body)
        return msgspec.json.decode(body)

    def post(self, target: str, body: bytes = b"") -> bytes:
        status, answer = self.request("POST", target, body)
        assert status == 200, (status, answer)
        return answer

    def publish(self, topic: str, *bodies: bytes) -> None:
        """All bodies in one MPUB, as they are."""
        parts = [struct.pack(">i", len(body)) + body for body in bodies]
        self.post(f"/mpub?topic={topic}&binary=true", struct.pack(">i", len(bodies)) + b"".join(parts))

    def channel(self, topic: str, channel: str) -> dict[str, Any]:
        """The channel's statistics; all zeros while it does not exist."""
        topics = self.get(f"/stats?format=json&topic={topic}&channel={channel}").get("topics") or []
        channels = [c for t in topics for c in t["channels"]]
        return channels[0] if channels else dict.fromkeys(_COUNTS, 0)

    def unfinished(self, topic: str, channel: str) -> int:
        stats = self.channel(topic, channel)
        return int(stats["depth"] + stats["in_flight_count"] + stats["deferred_count"])


_COUNTS = (
    "depth",
    "in_flight_count",
    "deferred_count",
    "message_count",
    "requeue_count",
    "timeout_count",
    "client_count",
)


class Servers:
    """Makes servers of one kind for one test, and ends them all."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self._all: list[Server] = []

    def nsqd(self, **flags: object) -> Server:
        return self._start("nsqd", flags)

    def lookupd(self, **flags: object) -> Server:
        return self._start("nsqlookupd", flags)

    def _start(self, program: Literal["nsqd", "nsqlookupd"], flags: dict[str, object]) -> Server:
        server = Server(self.kind, program, self.folder / f"{program}-{len(self._all)}", **flags)
        self._all.append(server)
        return server.start()

    def end(self) -> None:
        with ExitStack() as stack:
            for server in self._all:
                stack.callback(server.kill)


@contextmanager
def servers_of(kind: Kind, folder: Path) -> Iterator[Servers]:
    made = Servers(kind, folder)
    try:
        yield made
    finally:
        made.end()
