"""Brings a node back whose disk has lost something: started, or emptied and replaced, until it is a voter again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from quorate.client.http import JsonClient
from quorate.errors import QuorateError
from quorate.processes.node import LOOK_S, NodeProcess

KEPT = ("quorate.toml", "node.log", "chaos.json", "chaos.crashed")  # what is no part of the data
REPAIR_S = 30.0
EVERY_S = 0.1
REPLACE_EVERY_S = 2.0  # the leader needs a moment to know of the new disk
CALL_S = 3.0


class Repairable(Protocol):
    """What this asks of a cluster."""

    def client(self, timeout_s: float = ...) -> JsonClient: ...

    def start_again(self, nodes: Iterable[NodeProcess]) -> None: ...

    def recovered(self, node: NodeProcess) -> None: ...


def bring_back(cluster: Repairable, node: NodeProcess, deadline_s: float = REPAIR_S) -> bool:
    """Whether the node is ready and its disk counts. If not, it may be tried again later."""
    end_s, replaced_s = time.monotonic() + deadline_s, float("-inf")
    emptied = False
    while time.monotonic() < end_s:
        if not node.running:
            if (node.exit_status or 0) > 0 and not emptied:  # it refused this disk
                emptied = True
                empty(node.folder)
            cluster.start_again([node])
        raft = (node.get("/status") or {}).get("raft", {})
        counts = bool(raft.get("voter")) and raft.get("forgotten") is None
        if counts and is_ready(node):
            cluster.recovered(node)
            return True
        if raft.get("forgotten") is not None and time.monotonic() - replaced_s > REPLACE_EVERY_S:
            replaced_s = time.monotonic()
            with contextlib.suppress(QuorateError, OSError), cluster.client(CALL_S) as client:
                client.change_members("replace", node.id)
        time.sleep(EVERY_S)
    return False


def is_ready(node: NodeProcess) -> bool:
    try:
        return node.running and node.ask("GET", "/readyz", timeout_s=LOOK_S)[0] == 200
    except OSError:
        return False


def empty(folder: Path) -> None:
    """Remove the data of a node that is down."""
    for path in folder.iterdir():
        if path.name not in KEPT and path.is_file():
            path.unlink()
