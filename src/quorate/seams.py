"""Where a test program may come between a node and its machine: its files, its clocks and network, its sizes.

`chaos/victim` uses it, to break them while the node runs. A node without it has nothing between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quorate.cluster.raft.environment import Environment, ReplicaSettings
from quorate.cluster.raft.storage.files import DiskFiles, OsFiles


@dataclass(frozen=True, slots=True)
class Seams:
    """Called once each when a node is made, in this order."""

    open_files: Callable[[Path], DiskFiles] = OsFiles
    environment: Callable[[], Environment] = Environment
    sized: Callable[[ReplicaSettings], ReplicaSettings] = lambda settings: settings


NONE = Seams()
