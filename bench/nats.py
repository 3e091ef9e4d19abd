"""Three NATS servers on loopback, with a counter of JetStream: three replicas, each write synced (`sync_interval`)."""

from __future__ import annotations

import contextlib
import json
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
STREAM = "BENCH"


class Nats:
    """Clients are spread over the servers, which pass on what is the leader's of the stream."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        ports = free_ports(2 * size)
        self.urls = [f"nats://127.0.0.1:{port}" for port in ports[:size]]
        self._port = ports[0]
        self.nodes = []
        for number, (port, route) in enumerate(zip(ports[:size], ports[size:], strict=True), 1):
            file = folder / f"t{number}.conf"
            file.write_text(_settings(f"t{number}", port, route, ports[size:], folder / f"t{number}"))
            self.nodes.append(Process(f"t{number}", ["nats-server", "-c", str(file)], folder / f"t{number}.log"))

    def __enter__(self) -> Nats:
        for node in self.nodes:
            node.start()
        wait_for("NATS has a stream", partial(self._has_stream), deadline_s=START_S, seen=self.nodes[0].tail)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.close()

    def _has_stream(self) -> bool:
        """Create it, or find it created. The servers refuse while they have no leader."""
        asked = {"name": STREAM, "subjects": ["bench.*"], "storage": "file", "num_replicas": len(self.nodes)}
        body = json.dumps(asked | {"allow_msg_counter": True}).encode()
        words = b'CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB $JS.API.STREAM.CREATE.%b answer %d\r\n%b\r\n'
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), ASK_S) as sock:
            sock.sendall(words % (STREAM.encode(), len(body), body))
            told = b""
            while b"MSG answer" not in told or not told.endswith(b"}\r\n"):
                part = sock.recv(16_384)
                if not part:
                    return False
                told += part
            return b'"error"' not in told
        return False


def _settings(name: str, port: int, route: int, routes: list[int], data: Path) -> str:
    listed = ", ".join(f'"nats://127.0.0.1:{each}"' for each in routes)
    return "\n".join(
        [
            f"server_name: {name}",
            f"listen: 127.0.0.1:{port}",
            f'jetstream {{ store_dir: "{data}", sync_interval: always }}',
            f"cluster {{ name: bench, listen: 127.0.0.1:{route}, routes: [{listed}] }}",
        ]
    )


def version() -> str | None:
    """The version of the NATS server on PATH, or None. One before 2.12 has no counters."""
    if shutil.which("nats-server") is None:
        return None
    return subprocess.run(["nats-server", "--version"], capture_output=True, text=True, check=True).stdout.strip()
