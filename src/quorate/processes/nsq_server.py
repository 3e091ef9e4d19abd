"""nsqd and nsqlookupd as processes on 127.0.0.1, and what they answer over HTTP."""

from __future__ import annotations

import http.client
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from quorate.processes.node import EndedAtStart
from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from quorate.processes.waiting import wait_for

Program = Literal["nsqd", "nsqlookupd"]


class NsqServer(Process):
    """One process, on ports and in a folder that it keeps over a restart. `command` is the program, or a double of it.

    `flags` are the program's own, with `_` for `-`. They hold for every start.
    """

    def __init__(
        self, program: Program, command: Sequence[str], folder: Path, *, cwd: Path | None = None, **flags: object
    ) -> None:
        self.program, self.folder = program, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.tcp, self.http = (f"127.0.0.1:{port}" for port in free_ports(2))
        own = {"broadcast_address": "127.0.0.1"} | ({"data_path": str(folder)} if program == "nsqd" else {})
        every = own | flags | {"tcp_address": self.tcp, "http_address": self.http}
        given = [f"--{name.replace('_', '-')}={value}" for name, value in every.items()]
        super().__init__(program, [*command, *given], folder / f"{program}.log", cwd=cwd)

    def start(self, *arguments: str) -> None:
        super().start(*arguments)
        wait_for(f"{self.program} answers", self._answers, seen=self.tail)

    def _answers(self) -> bool:
        if not self.running:
            raise EndedAtStart(f"{self.program} ended at its start\n{self.tail()}")
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
        return msgspec.json.decode(self._good(*self.request("GET", target)))

    def post(self, target: str, body: bytes = b"") -> bytes:
        return self._good(*self.request("POST", target, body))

    def _good(self, status: int, body: bytes) -> bytes:
        if status != 200:
            raise RuntimeError(f"{self.program} answered {status}: {body!r}")
        return body

    def publish(self, topic: str, *bodies: bytes) -> None:
        """All bodies in one MPUB, as they are."""
        parts = [struct.pack(">i", len(body)) + body for body in bodies]
        self.post(f"/mpub?topic={topic}&binary=true", struct.pack(">i", len(bodies)) + b"".join(parts))

    def channel(self, topic: str, channel: str) -> dict[str, Any]:
        """The channel's statistics; all zeros while it does not exist."""
        topics = self.get(f"/stats?format=json&topic={topic}&channel={channel}").get("topics") or []
        channels = [c for t in topics for c in t["channels"]]
        return channels[0] if channels else dict.fromkeys(COUNTS, 0)

    def unfinished(self, topic: str, channel: str) -> int:
        stats = self.channel(topic, channel)
        return int(stats["depth"] + stats["in_flight_count"] + stats["deferred_count"])


COUNTS = (
    "depth",
    "in_flight_count",
    "deferred_count",
    "message_count",
    "requeue_count",
    "timeout_count",
    "client_count",
)
