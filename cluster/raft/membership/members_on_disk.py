"""Reads from a data folder who belongs to the cluster, as its log has it. Changes nothing, also while its node runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

from quorate.cluster.raft import members
from quorate.cluster.raft.engine.replication import MEMBERS
from quorate.cluster.raft.members import Member
from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.replay import replay
from quorate.cluster.raft.storage.snapshot_store import SnapshotStore
from quorate.errors import DataError


def members_on_disk(data: Path, node_id: str) -> list[Member]:
    """Empty if no members can be read: there is no log, it names none, it is damaged, or its node just changes it."""
    if not data.is_dir():
        return []
    with contextlib.suppress(DataError, OSError), contextlib.closing(OsFiles(data)) as files:
        snapshot, log = SnapshotStore(files, node_id=node_id).newest(), replay(files, node_id)
        logged = [command[1:] for command, _, _ in log.entries if command.startswith(MEMBERS)] if log else []
        newest = logged[-1] if logged else snapshot.members if snapshot else b""
        return list(members.decode(newest).members) if newest else []
    return []
