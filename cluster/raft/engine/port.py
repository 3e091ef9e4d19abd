"""What PySyncObj gets instead of a network: a transport that passes its messages on, and a poller without sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quorate.cluster.raft.engine.stock import RaftNode, SyncObj, Transport


class EnginePort(Transport):  # type: ignore[misc]  # PySyncObj has no annotations
    """PySyncObj's transport. Every message goes to `send`: the engine knows which ones must wait for the disk."""

    ready = True

    def __init__(self, engine: SyncObj, send: Callable[[RaftNode, dict[str, Any]], bool]) -> None:
        super().__init__(engine, None, [])
        self._send = send

    def send(self, node: RaftNode, message: dict[str, Any]) -> bool:
        return self._send(node, message)

    def addNode(self, node: RaftNode) -> None:
        """`PeerTransport` makes the connections, from the members in the log. PySyncObj does not."""

    def dropNode(self, node: RaftNode) -> None:
        """See `addNode`."""

    def destroy(self) -> None:
        """See `addNode`."""


class NoPoller:
    """PySyncObj's poller. The event loop polls; PySyncObj has no sockets of its own."""

    def poll(self, timeout: float) -> None:
        return None
