"""Where the nodes of a run are, and how they reach each other: what a cluster asks of either kind of network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from quorate.chaos.link_faults import LinkFaults
from quorate.config import Address
from quorate.processes.node import Place


class NodeNetwork(Protocol):
    @property
    def links(self) -> LinkFaults: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What nodes must be told to run in it."""

    def place(self, id: str, folder: Path) -> Place:
        """Room for one more node."""

    def drop(self, id: str) -> None:
        """The node is gone for good."""

    def start(self) -> None:
        """Before the first node starts."""

    def close(self) -> None:
        """When all nodes have ended. Idempotent."""

    def addresses(self) -> dict[str, Address]:
        """Where each node is reached by the others."""

    def move(self, id: str) -> Address:
        """The node, which is down, gets another address for the others. Returns the one where it has to listen."""

    def doors(self, id: str) -> dict[str, int]:
        """With TLS between nodes: for each other node the port of 127.0.0.1 that this one must dial instead."""
