"""The one place that imports PySyncObj, and the check that it is the version that our overrides were written for.

The engine overrides private methods. An override is right only for the method it was written for. So when an engine is
made, `check` compares PySyncObj's version, and the source of every method that we replace, call or rely on, with the
known ones below. If something differs, the node does not start and says why. docs/design/raft.md tells how to move to
another version.
"""

from __future__ import annotations

import _socket
import functools
import hashlib
import inspect
import socket
import zlib
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from pysyncobj import SyncObj, SyncObjConf, syncobj
from pysyncobj.node import Node as StockNode
from pysyncobj.transport import Transport
from pysyncobj.version import VERSION

# Importing pysyncobj 0.3.17 replaces socket.inet_ntop for the whole process by one that fails (win_inet_pton.py 84).
socket.inet_ntop = _socket.inet_ntop

__all__ = ["RaftNode", "SyncObj", "SyncObjConf", "Transport", "check", "raft_node", "raft_nodes", "syncobj"]


class RaftNode(StockNode):  # type: ignore[misc]  # PySyncObj has no annotations
    """A node in PySyncObj's sets. Its hash is the same in every process: see `raft_nodes`."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self._hash = zlib.crc32(id.encode())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, RaftNode) and bool(self._id == other._id))


raft_node = functools.lru_cache(maxsize=1_000)(RaftNode)  # the same object, which tables find without a comparison


def raft_nodes(ids: Iterable[str]) -> set[RaftNode]:
    """A set that PySyncObj goes through in the same order in every process: for replays.

    The order depends on the nodes' hashes and, where they collide, on which came first.
    """
    return {raft_node(id) for id in sorted(ids)}


def field(name: str) -> Any:
    """A property that reads one of PySyncObj's fields. It costs no call of Python: a group of votes asks 200 times."""
    return property(attrgetter(name))


VERSION_KNOWN = "0.3.17"

SOURCES_KNOWN = {  # every method that we replace or call, or that calls one that we replace
    "__init__": "09df12cd7fd7d727",
    "doTick": "bef78c2ba06d784b",
    "_onTick": "cc9eb08232d005ba",
    "_checkCommandsToApply": "a386a8079361d204",
    "_SyncObj__applyLogEntries": "073db677773b5a2d",
    "_SyncObj__connectedToAnyone": "acd40e9e3ac6c4cc",
    "_SyncObj__generateRaftTimeout": "92ed37d3620e781a",
    "_SyncObj__getCurrentLogIndex": "e5af22ca246686bd",
    "_SyncObj__getEntries": "e29c4b33293b2101",
    "_SyncObj__onBecomeLeader": "5a3fd97bc17dc1cf",
    "_SyncObj__onLeaderChanged": "53b7685e1d897887",
    "_SyncObj__onMessageReceived": "ddfe34b6c0282179",
    "_SyncObj__onNodeConnected": "2655afb481b4c69b",
    "_SyncObj__onNodeDisconnected": "a81c0475ba2218cc",
    "_SyncObj__sendAppendEntries": "9cb9073128c392fa",
    "_SyncObj__setCurrentTerm": "0ad5bf456ac06bd3",
    "_SyncObj__setState": "2c1f239f7bd79b39",
    "_SyncObj__tryLogCompaction": "c2f8a0ec14cc7312",
}

FIELDS_KNOWN = (  # its fields that we read or set; its `__init__`, whose source is known, makes them
    "_SyncObj__commandsWaitingCommit",
    "_SyncObj__connectedNodes",
    "_SyncObj__lastResponseTime",
    "_SyncObj__leaderCommitIndex",
    "_SyncObj__newAppendEntriesTime",
    "_SyncObj__noopIDx",
    "_SyncObj__otherNodes",
    "_SyncObj__raftCommitIndex",
    "_SyncObj__raftCurrentTerm",
    "_SyncObj__raftElectionDeadline",
    "_SyncObj__raftLastApplied",
    "_SyncObj__raftLeader",
    "_SyncObj__raftLog",
    "_SyncObj__raftMatchIndex",
    "_SyncObj__raftNextIndex",
    "_SyncObj__raftState",
    "_SyncObj__readonlyNodes",
    "_SyncObj__selfNode",
    "_SyncObj__transferInProgress",
    "_SyncObj__votedForNodeId",
    "_poller",
)


@functools.cache
def source_hash(method: Callable[..., Any]) -> str:
    """The first 16 hex digits of sha256 over the method's source text. Another method is read anew."""
    return hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]


def check() -> None:
    """Raise `ImportError` in words unless this is the PySyncObj that the overrides were written for."""
    if VERSION != VERSION_KNOWN:
        raise ImportError(
            f"Quorate's replica was written for pysyncobj {VERSION_KNOWN} and overrides its private methods; "
            f"{VERSION} is installed. Install pysyncobj=={VERSION_KNOWN}, or read docs/design/raft.md before moving on."
        )
    for name, known in SOURCES_KNOWN.items():
        found = source_hash(getattr(SyncObj, name))
        if found != known:
            raise ImportError(
                f"pysyncobj {VERSION} is installed, but its SyncObj.{name} is not the one released as {VERSION_KNOWN} "
                f"(source hash {found}, expected {known}). Reinstall pysyncobj=={VERSION_KNOWN}."
            )
