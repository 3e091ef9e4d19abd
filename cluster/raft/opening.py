"""Reads a replica's disk when it starts: the newest snapshot, the state in it, and the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft.environment import ReplicaSettings, blocking
from quorate.cluster.raft.storage.files import Files
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.memory_file import MemoryFile
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.cluster.raft.storage.writer import Writer


@dataclass(frozen=True, slots=True)
class OpenedStorage:
    """What was found on the disk. `snapshot` and `state` are None if no snapshot was taken yet."""

    snapshots: SnapshotStore
    snapshot: SnapshotMeta | None
    state: StateMachine | None
    journal: Journal
    memory: MemoryFile  # what is remembered of peers, and where it is written
    remembered: bytes


async def open_storage(
    files: Files,
    writer: Writer,
    settings: ReplicaSettings,
    *,
    may_create: bool,
    on_synced: Callable[[], None],
    on_failure: Callable[[BaseException], None],
) -> OpenedStorage:
    """Read the disk on a thread of the loop's. Raises `DataError` if what is on the disk cannot be trusted."""
    snapshots = SnapshotStore(files, node_id=settings.node_id, accept=StateMachine.restore)
    snapshot, state = await blocking(snapshots.newest), None
    if snapshot is not None:
        image = await blocking(snapshots.load, snapshot)
        state = await blocking(StateMachine.restore, image)
    journal = await blocking(
        Journal.open,
        files,
        writer,
        snapshot=snapshot,
        on_failure=on_failure,
        on_synced=on_synced,
        node_id=settings.node_id,
        segment_bytes=settings.segment_bytes,
        may_create=may_create,
    )
    memory = MemoryFile(files)
    return OpenedStorage(snapshots, snapshot, state, journal, memory, await blocking(memory.read))
