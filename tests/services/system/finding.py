"""Real nodes that are told nothing of each other but where Consul is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorate.processes.node import NodeProcess, Place
from quorate.processes.ports import free_ports
from tests.services.consul_agent import Agent
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for


def finding(agent: Agent, expect: int = 3) -> dict[str, Any]:
    """What to set instead of peers."""
    return {
        "raft.peers": [],
        "raft.bootstrap": False,
        "raft.bootstrap_expect": expect,
        "consul.address": agent.address,
        "consul.timeout_ms": 500,
    }


def finding_cluster(agent: Agent, folder: Path, *, size: int = 3, settings: Mapping[str, Any] | None = None) -> Cluster:
    """Nodes that form one by Consul when they are started."""
    return Cluster(folder, size, {**finding(agent, size), **(settings or {})})


def newcomer(cluster: Cluster, node_id: str) -> NodeProcess:
    """One more node with the very settings of the others. The cluster closes it."""
    http, raft = free_ports(2)
    own = ("node.id", "node.data", "http.listen", "raft.listen")
    shared = {name: value for name, value in cluster.nodes[0].settings.items() if name not in own}
    node = NodeProcess(Place.local(node_id, cluster.folder / node_id, http, raft), shared)
    cluster.nodes.append(node)
    return node


def says(node: NodeProcess, words: str) -> None:
    """Wait until its /readyz tells an operator this."""

    def told() -> bool:
        assert node.running, node.tail()
        try:
            return words in node.ask("GET", "/readyz?verbose")[1].decode()
        except OSError:
            return False

    wait_for(f"{node.id} says {words!r}", told, seen=node.tail)


def entry_of(agent: Agent, node: NodeProcess) -> dict[str, Any] | None:
    """The node as Consul tells it to anyone."""
    return agent.entry(f"quorate-quorate-{node.id}")


def leaders_in(agent: Agent) -> set[str]:
    """The nodes that carry the leader's tag and are well."""
    entries = agent.call("GET", "/v1/health/service/quorate?passing&tag=leader")
    return {entry["Service"]["Meta"]["node"] for entry in entries}


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`quorate ARGUMENTS`, in an environment with none of our variables but these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("QUORATE_", "CONSUL_"))}
    argv = [sys.executable, "-m", "quorate", *arguments]
    return subprocess.run(argv, env={**clean, **env}, capture_output=True, text=True, timeout=60, check=False)
