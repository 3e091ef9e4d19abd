"""Puts the state of a backup into the empty folder of one node, which founds a new cluster with it.

The node becomes the only voter of a cluster with an id of its own, as if it had formed that alone: its snapshot is the
state of the backup, and its log begins behind it. So no two histories have one id, and nodes and sinks of the old
cluster refuse the new one. Ids that were protected stay so, since the state keeps the key of their hashes.

The identity is written last. A restore that stops before that, in whatever way, has made no node: none starts on the
folder, and the restore can be done again. After it the folder is whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft import members
from quorate.cluster.raft.membership.bootstrap import cluster_id_of
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.snapshot_store import SnapshotStore
from quorate.cluster.raft.unsafe_recovery import InlineWriter
from quorate.errors import DataError

FIRST_TERM = 1
CHAIN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Restored:
    cluster_id: str  # the new one
    before: str
    version: int
    generation: int  # above that of the backup, so that documents that were lost since are written again


def restore(
    data: Path | str, node_id: str, raft_address: str, state: StateMachine, *, cluster_name: str | None = None
) -> Restored:
    """Make `node_id` the only voter of a new cluster with this state. Raises `DataError` in words."""
    with DataDirectory.open_unused(data, node_id=node_id, cluster_name=cluster_name) as directory:
        founders = {node_id: directory.identity.incarnation}
        before, state.cluster_id = state.cluster_id, cluster_id_of(founders)
        state.generation += 1
        _write(directory, state, _alone(node_id, raft_address, directory, before))
        directory.save_identity(cluster_id=state.cluster_id, members=founders)
    return Restored(state.cluster_id, before, state.version, state.generation)


def _alone(node_id: str, raft_address: str, directory: DataDirectory, before: str) -> members.Members:
    member = members.Member(node_id, raft_address, directory.identity.incarnation, voter=True)
    return members.Members((member,), f"restored from a backup of cluster {before}")


def _write(directory: DataDirectory, state: StateMachine, alone: members.Members) -> None:
    index = max(1, state.version)
    chain = hashlib.blake2b(state.chain + state.cluster_id.encode(), digest_size=CHAIN_BYTES).digest()
    image = state.freeze().encode()
    meta = SnapshotStore(directory.files, node_id=directory.identity.node_id).save(
        index, FIRST_TERM, chain, members.encode(alone), image
    )
    journal = Journal.open(directory.files, InlineWriter(), snapshot=None, on_failure=_failed)
    journal.reset(meta)
    journal.flush()
    journal.close()


def _failed(error: BaseException) -> None:
    raise DataError(f"the disk refused the restored log: {error}. Put that right, and restore again") from error
