"""What is done with a log at start, between reading it back and using it.

It is compared with the newest snapshot, what is stale is removed, a torn tail is cut, and what stays is made durable.
Raises `DataError` in words when log and snapshot do not belong together; a node must not start on half of what it had.
"""

from __future__ import annotations

import logging

from quorate.cluster.raft.storage import segments
from quorate.cluster.raft.storage.files import Files
from quorate.cluster.raft.storage.replay import Log, replay
from quorate.cluster.raft.storage.segments import GENESIS
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta
from quorate.errors import DataError

log = logging.getLogger("quorate.journal")


def open_log(files: Files, snapshot: SnapshotMeta | None, node_id: str, *, may_create: bool) -> tuple[Log, bool]:
    """The log to go on with, and whether it must begin anew at the snapshot. Raises `DataError`, and OSError."""
    replayed = replay(files, node_id)
    if replayed is None or not replayed.segments:
        if snapshot is not None or not may_create:
            raise _refusal(files, node_id, "the log is gone, and with it what this node has promised")
        replayed = replayed or Log(GENESIS)
    restart = snapshot is not None and not _continues_from(replayed, snapshot, files, node_id)
    if snapshot is None and replayed.base != GENESIS:
        raise _refusal(files, node_id, f"the log begins after entry {replayed.base.index:,} and there is no snapshot")
    if replayed.segments:
        _repair_tail(files, replayed)
    for name in replayed.stale:  # only now: the file that stands for them may not have been durable before
        files.remove(name)
    return replayed, restart


def _continues_from(replayed: Log, snapshot: SnapshotMeta, files: Files, node_id: str) -> bool:
    """Whether the log goes on from the snapshot.

    If not, it was installed just before the node died, or its last entries were applied and not synced yet.
    """
    if snapshot.index < replayed.base.index:
        what = f"the newest snapshot ends at entry {snapshot.index:,}, the log begins after {replayed.base.index:,}"
        raise _refusal(files, node_id, what)
    point = replayed.point_at(snapshot.index)
    if point is None or point.term != snapshot.term:
        return False  # Raft figure 13, steps 6 and 7: discard the entire log unless it has the snapshot's last entry
    if point.chain != snapshot.chain:
        raise _refusal(files, node_id, f"log and snapshot differ about entry {snapshot.index:,} or one before it")
    return True


def _repair_tail(files: Files, replayed: Log) -> None:
    """Cut the torn tail, and make durable what was read.

    It may have been read from the cache of a kernel that once failed to write it and now holds it for clean; writing
    the last group again is what makes the sync mean something (see the head of `files.py`).
    """
    tail = replayed.segments[-1]
    name = segments.name_of(tail.number)
    if replayed.torn_bytes:
        log.warning("cut %d bytes off %s, torn by a crash and never acknowledged", replayed.torn_bytes, name)
    if tail.allocated != tail.size:
        files.truncate(name, tail.size)
        tail.allocated = tail.size
    files.write(name, replayed.group_at, files.read_at(name, replayed.group_at, tail.size - replayed.group_at))
    files.sync(name)


def _refusal(files: Files, node_id: str, what: str) -> DataError:
    return DataError(
        f"{node_id} cannot start on {files.where}: {what}. "
        f"If the other nodes are well: quorate members replace {node_id} --data {files.where}"
    )
