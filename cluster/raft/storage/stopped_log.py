"""The log of a node that is stopped, for people who look at it: `quorate log`. Nothing in the folder is changed.

A node that runs is refused: it writes while one reads, and what is half written looks like damage. Its lock is only
tried, and not held: a node that starts meanwhile is not hindered, and is found out at the end.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from quorate.cluster.raft.storage.directory import LOCK_NAME, read_identity
from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.replay import ReplayedLog, replay
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.errors import DataError


@dataclass(frozen=True, slots=True)
class StoppedLog:
    log: ReplayedLog
    snapshot: SnapshotMeta | None


def read_stopped(path: Path) -> StoppedLog:
    """Read and check the whole log: every checksum, and the chain. Raises `DataError` on damage, or if a node runs."""
    _refuse_running(path)
    files = OsFiles(path)
    try:
        node_id = _whose(files)
        snapshot = SnapshotStore(files, node_id=node_id).newest()
        log = replay(files, node_id)
    finally:
        files.close()
    _refuse_running(path)
    if log is None:
        raise DataError(f"{path} has no log: is it the folder of a node?")
    return StoppedLog(log, snapshot)


def _whose(files: OsFiles) -> str:
    """For words alone: the log can be read without it."""
    try:
        return read_identity(files).node_id
    except (DataError, OSError):
        return "NODE"


def _refuse_running(path: Path) -> None:
    try:
        lock = os.open(path / LOCK_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        raise DataError(
            f"{path} is in use by process {holder}: stop that node first. Nodes that run are compared by quorate audit"
        ) from None
    finally:
        os.close(lock)
