"""A real Consul server of a test's own, so that the test may stop it, hang it, empty it and close it with ACLs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest
import requests

from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
PORTS = ("http", "dns", "server", "serf-lan")


def consul_binary() -> str:
    """The program, or a skip that says so; a failure where services are required."""
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "quorate" if os.environ.get("XDG_CACHE_HOME") else ROOT / ".cache"
    fetched = cache / "consul-1.8/usr/bin/consul"
    found = os.environ.get("QUORATE_TEST_CONSUL_BIN") or shutil.which("consul")
    if found or fetched.exists():
        return found or str(fetched)
    missing = "no consul program: scripts/services.sh up consul, then eval its env"
    if os.environ.get("QUORATE_REQUIRE_SERVICES") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


class Agent:
    """One server agent on loopback. Its ports stay the same when it is started again."""

    def __init__(self, folder: Path, *, hcl: str = "") -> None:
        self._folder = folder
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.address = f"127.0.0.1:{self._ports['http']}"
        self.dns_port = self._ports["dns"]
        self.flags = [  # they outrank files
            *("-server", "-bootstrap-expect=1", "-node=test", "-log-level=warn"),
            *(f"-data-dir={folder / 'data'}", "-bind=127.0.0.1", "-client=127.0.0.1"),
            *(f"-{name}-port={port}" for name, port in {**self._ports, "serf-wan": -1, "grpc": -1}.items()),
        ]
        own = f"-hcl=performance {{ raft_multiplier = 1 }} disable_update_check = true {hcl}"
        self._process = Process("Consul", [consul_binary(), "agent", *self.flags, own], folder / "log")

    def start(self) -> None:
        self._process.start()
        wait_for("Consul has a leader", self._leads, deadline_s=60, seen=self._process.tail)

    def _leads(self) -> bool:
        assert self._process.running, self._process.tail()
        with contextlib.suppress(requests.RequestException):
            return bool(requests.get(f"http://{self.address}/v1/status/leader", timeout=2).json())
        return False

    def signal(self, number: signal.Signals) -> None:
        self._process.signal(number)

    def kill(self) -> None:
        self._process.close()

    def forget(self) -> None:
        """Start again with nothing on its disk, as a replaced one."""
        self.kill()
        shutil.rmtree(self._folder / "data")
        self.start()

    def call(self, method: str, path: str, token: str = "", **arguments: Any) -> Any:
        """Ask the HTTP API as an operator would; an error is raised."""
        headers = {"X-Consul-Token": token} if token else {}
        answer = requests.request(method, f"http://{self.address}{path}", headers=headers, timeout=10, **arguments)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def entry(self, service_id: str, token: str = "") -> dict[str, Any] | None:
        """The service as the catalog tells it to anyone, with its checks; None if it is not there."""
        only = {"filter": f'Service.ID == "{service_id}"'}
        entries: list[dict[str, Any]] = self.call("GET", "/v1/health/service/quorate", token, params=only)
        return entries[0] if entries else None

    def tags(self, service_id: str) -> list[str]:
        entry = self.entry(service_id)
        return [] if entry is None else list(entry["Service"]["Tags"])

    def ask_dns(self, name: str, kind: str = "SRV") -> list[Any]:
        """The records of NAME.service.consul, by a real packet; none if there is no such name."""
        question = dns.message.make_query(f"{name}.service.consul", kind)
        answer = dns.query.udp(question, "127.0.0.1", port=self.dns_port, timeout=5).answer
        return list(answer[0]) if answer else []


@contextlib.contextmanager
def running_agent(folder: Path, *, hcl: str = "") -> Iterator[Agent]:
    agent = Agent(folder, hcl=hcl)
    try:
        agent.start()
        yield agent
    finally:
        agent.kill()
