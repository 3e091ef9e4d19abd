"""A Consul server: `consul` on PATH, a container, or the last version that Debian had."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import engine
import fetch
from folder import Folder, Gives
from processes import Failed, wait_for

NAME = "consul"
GIVEN = "QUORATE_TEST_CONSUL"
INSTALL = "put `consul` on PATH, or run a Docker engine, or use Debian"
START_S = 30
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# A single server needs no long waits for others, and tests do not ask the internet for updates.
QUICK = "performance { raft_multiplier = 1 } disable_update_check = true"


def gives(address: str, dns: str = "", binary: Path | None = None, check: str = "http") -> Gives:
    tests = {GIVEN: address, "QUORATE_TEST_CONSUL_DNS": dns, "QUORATE_TEST_CONSUL_BIN": str(binary or "")}
    return Gives(
        tests={name: value for name, value in tests.items() if value},
        node={"QUORATE_CONSUL_ADDRESS": address, "QUORATE_CONSUL_CHECK": check},
    )


def given(address: str) -> Gives:
    if not answers(address):
        raise Failed(f"no Consul with a leader answers at {GIVEN}={address}")
    binary = shutil.which("consul")
    return gives(address, binary=Path(binary) if binary else None)


def answering(folder: Folder) -> bool:
    address = folder.gives(NAME).tests.get(GIVEN)
    return address is not None and answers(address)


def answers(address: str) -> bool:
    """Whether an agent answers and its servers have a leader."""
    url = address if "://" in address else f"http://{address}"
    try:
        with DIRECTLY.open(f"{url}/v1/status/leader", timeout=2) as answer:
            return bool(json.load(answer))
    except (OSError, ValueError, urllib.error.URLError):
        return False


def from_path(folder: Folder) -> Gives | None:
    consul = shutil.which("consul")
    return _start(folder, Path(consul)) if consul else None


def from_debian(folder: Folder) -> Gives:
    return _start(folder, fetch.consul_binary())


def _start(folder: Folder, consul: Path) -> Gives:
    ports = {name: folder.port(NAME, name) for name in ("http", "dns", "server", "serf-lan")}
    data = folder.path / "consul"
    data.mkdir(exist_ok=True)
    argv = [
        *(str(consul), "agent", "-server", "-bootstrap-expect=1", "-ui", "-node=quorate-services"),
        *(f"-data-dir={data}", "-bind=127.0.0.1", "-client=127.0.0.1", f"-hcl={QUICK}", "-log-level=warn"),
        *(f"-{name}-port={port}" for name, port in {**ports, "serf-wan": -1, "grpc": -1}.items()),
    ]
    folder.processes.start("consul", argv, cwd=data)
    address = f"127.0.0.1:{ports['http']}"
    folder.processes.wait_until("consul", lambda: answers(address), START_S)
    return gives(address, f"127.0.0.1:{ports['dns']}", consul)


def from_docker(folder: Folder) -> Gives:
    http, dns = folder.port(NAME, "http"), folder.port(NAME, "dns")
    engine.up(folder, CONTAINERS, {"QUORATE_CONSUL_PORT": http, "QUORATE_CONSUL_DNS_PORT": dns})
    wait_for("Consul in its container", lambda: answers(f"127.0.0.1:{http}"), START_S)
    # An agent in a container cannot reach a node on this host's loopback, so nodes report to the agent.
    return gives(f"127.0.0.1:{http}", f"127.0.0.1:{dns}", check="ttl")


def stop(folder: Folder) -> None:
    folder.processes.stop("consul")


WAYS = {"path": from_path, "docker": from_docker, "debian": from_debian}
CONTAINERS = ("consul",)
