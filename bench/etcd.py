"""Three etcd nodes on loopback with default settings (data is synced before the answer), to compare with ours."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial
from pathlib import Path

from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from quorate.processes.waiting import wait_for
from quorate.web.fetch import fetch


class Etcd:
    def __init__(self, folder: Path, size: int = 3) -> None:
        ports = free_ports(2 * size)
        self.urls = [f"http://127.0.0.1:{port}" for port in ports[:size]]
        peers = [f"http://127.0.0.1:{port}" for port in ports[size:]]
        members = ",".join(f"e{i}={peer}" for i, peer in enumerate(peers, 1))
        self.nodes = [
            Process(f"e{i}", command(f"e{i}", folder / f"e{i}", url, peer, members), folder / f"e{i}.log")
            for i, (url, peer) in enumerate(zip(self.urls, peers, strict=True), 1)
        ]

    def __enter__(self) -> Etcd:
        for node in self.nodes:
            node.start()
        for node, url in zip(self.nodes, self.urls, strict=True):
            wait_for(f"etcd at {url} is healthy", partial(healthy, url), deadline_s=30, seen=node.tail)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.close()

    def leader(self) -> int:
        """The index of the leader, by the metrics of each node."""
        for i, url in enumerate(self.urls):
            try:
                if b"\netcd_server_is_leader 1\n" in fetch(f"{url}/metrics", timeout_s=2):
                    return i
            except OSError:
                continue
        raise RuntimeError("no etcd node leads")


def command(name: str, data: Path, url: str, peer: str, members: str, told_peer: str = "") -> list[str]:
    """`told_peer` is where the others find it, if that is not `peer`, where it listens."""
    return [
        *("etcd", "--name", name, "--data-dir", str(data), "--logger", "zap", "--log-level", "error"),
        *("--listen-client-urls", url, "--advertise-client-urls", url),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", told_peer or peer),
        *("--initial-cluster", members, "--initial-cluster-state", "new"),
    ]


def healthy(url: str) -> bool:
    try:
        return b'"true"' in fetch(f"{url}/health", timeout_s=2)
    except OSError:
        return False


def version() -> str | None:
    """The version of the etcd on PATH, or None."""
    if shutil.which("etcd") is None:
        return None
    return subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
