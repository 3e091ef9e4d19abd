"""Opens the log at start: reads it back, compares it with the newest snapshot, and repairs what a crash left.

Stale files are removed, a torn tail is cut, and the rest is made durable. If log and snapshot do not belong together, a
`DataError` says so: a node must not start with only a part of its data.
"""

from __future__ import annotations

import logging

from quorate.cluster.raft.storage import segments
from quorate.cluster.raft.storage.files import Files
from quorate.cluster.raft.storage.replay import ReplayedLog, replay
from quorate.cluster.raft.storage.segments import GENESIS
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta
from quorate.errors import DataError

log = logging.getLogger("quorate.journal")


def open_log(
    files: Files, snapshot: SnapshotMeta | None, node_id: str, *, may_create: bool
) -> tuple[ReplayedLog, bool]:
    """The log, and whether the snapshot must replace it. Raises `DataError` and OSError."""
    replayed = replay(files, node_id)
    if replayed is None or not replayed.segments:
        if snapshot is not None or not may_create:
            raise _refusal(files, node_id, "the log is gone, and with it what this node has promised")
        replayed = replayed or ReplayedLog(GENESIS)
    restart = snapshot is not None and not _continues_from(replayed, snapshot, files, node_id)
    if snapshot is None and replayed.base != GENESIS:
        raise _refusal(files, node_id, f"the log begins after entry {replayed.base.index:,} and there is no snapshot")
    if replayed.segments:
        _repair_tail(files, replayed)
    for name in replayed.stale:  # only now: before, the segment that replaces them may not have been durable
        files.remove(name)
    return replayed, restart


def _continues_from(replayed: ReplayedLog, snapshot: SnapshotMeta, files: Files, node_id: str) -> bool:
    """Whether the log has the snapshot's last entry.

    If not, the snapshot was installed just before the node died, or the node applied entries that it had not synced
    yet.
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


def _repair_tail(files: Files, replayed: ReplayedLog) -> None:
    """Cut the torn tail, and make the rest durable.

    The kernel may hold pages in its cache that it once failed to write, and take them for clean. So the last group is
    written again before the sync (see the head of `files.py`).
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
        f"If the other nodes are well, start {node_id} on an empty folder; then: quorate members replace {node_id}"
    )
