"""Start, kill, pause and restart nsqd and nsqlookupd in tests: the real programs where they are on PATH, or the double.

Every process is on loopback, on free ports that it keeps over a restart, and in a folder of its own.
"""

from __future__ import annotations

import http.client
import shutil
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from tests.support.process import Process, free_ports
from tests.support.waiting import wait_for

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
        return [sys.executable, "-m", "tests.doubles.nsq", program]
    path = shutil.which(program)
    assert path is not None
    # Compression is off by default nowhere but here: the double offers none, and both must answer alike.
    return [path, "--deflate=false", "--snappy=false"] if program == "nsqd" else [path]


class Server(Process):
    """One process. `flags` are the real program's, with `_` for `-`; they hold for every start."""

    def __init__(self, kind: Kind, program: Literal["nsqd", "nsqlookupd"], folder: Path, **flags: object) -> None:
        self.kind, self.program, self.folder = kind, program, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.tcp, self.http = (f"127.0.0.1:{port}" for port in free_ports(2))
        own = {"broadcast_address": "127.0.0.1"} | ({"data_path": str(folder)} if program == "nsqd" else {})
        every = own | flags | {"tcp_address": self.tcp, "http_address": self.http}
        given = [f"--{name.replace('_', '-')}={value}" for name, value in every.items()]
        super().__init__(program, [*_command(kind, program), *given], folder / f"{program}.log", cwd=ROOT)

    def start(self) -> None:
        super().start()
        wait_for(f"{self.program} answers", self._answers, seen=self.tail)

    def _answers(self) -> bool:
        assert self.running, f"it ended at its start\n{self.tail()}"
        try:
            return self.request("GET", "/ping") == (200, b"OK")
        except OSError:
            return False

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
        server.start()
        return server

    def end(self) -> None:
        with ExitStack() as stack:
            for server in self._all:
                stack.callback(server.close)


@contextmanager
def servers_of(kind: Kind, folder: Path) -> Iterator[Servers]:
    made = Servers(kind, folder)
    try:
        yield made
    finally:
        made.end()
