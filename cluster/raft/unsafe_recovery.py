"""The last resort when a majority of the disks is lost for ever: one surviving node goes on alone.

The recovery writes two entries into the node's log, as a leader of a new term would. The first makes the node the only
voter. The second raises the generation, so that its flushes outrank all earlier ones. The cluster gets another id: if
nodes of the old cluster come back, they are refused and cannot undo later votes. Entries that only the lost nodes had
are lost, and nobody can say how many they were: hence `--unsafe`. The node must not be running; its data directory is
locked meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from quorate.cluster import entry
from quorate.cluster.raft import members
from quorate.cluster.raft.engine.replication import MEMBERS, REGULAR
from quorate.cluster.raft.membership import removal
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the recovery did, for people."""

    cluster_id: str  # the new one
    before: str
    last_index: int  # of the log as it was found
    last_term: int
    committed: int  # surely committed, as far as this node knew
    term: int  # the new one


class InlineWriter:
    """A `Writer` that runs each operation at once: nothing else runs in this process."""

    def run(
        self, operation: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool = False
    ) -> None:
        result: T | OSError
        try:
            result = operation()
        except OSError as error:
            result = error
        done(result)

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        return operation()

    def stop(self) -> None:
        pass


def recover(data: Path | str, node_id: str, raft_address: str) -> Recovery:
    """Make `node_id` the only voter of a cluster that goes on from its own log. Raises `DataError` in words."""
    directory = DataDirectory.open(data, node_id=node_id, create=False)
    try:
        before = directory.identity.cluster_id
        if before is None:
            raise DataError(f"{data} was never a member of a cluster: there is nothing to recover")
        snapshot = SnapshotStore(directory.files, node_id=node_id).newest()
        journal = _open(directory, node_id, snapshot)
        if removal.noted(directory) is not None or _is_removed(node_id, journal, snapshot):
            raise _removed(node_id)
        _, last_index, last_term = journal[-1]
        term = journal.getCurrentTerm() + 1
        recovery = Recovery(
            secrets.token_hex(8),  # not made from what is on the disk: a copy of it may be recovered, too
            before,
            last_index,
            last_term,
            journal.getRaftCommitIndex(),
            term,
        )
        # The identity first: if the process dies between the two writes, the node elects nobody and can recover again.
        # In the other order it would lead alone under the old cluster's id, and tell the others that they were removed.
        directory.save_identity(cluster_id=recovery.cluster_id, members={node_id: directory.identity.incarnation})
        _write(journal, recovery, directory, node_id, raft_address)
        return recovery
    except OSError as error:
        raise _failed(error) from error
    finally:
        directory.close()


def _failed(error: BaseException) -> DataError:
    return DataError(f"the disk refused what recovery writes: {error}. Put that right, and recover again")


def _is_removed(node_id: str, journal: Journal, snapshot: SnapshotMeta | None) -> bool:
    """Whether the log surely removed the node. An entry that may not be committed does not count."""
    known = snapshot.members if snapshot is not None else b""
    for command, index, _ in journal[:]:
        if command.startswith(MEMBERS) and index <= journal.getRaftCommitIndex():
            known = command[1:]
    return bool(known) and members.decode(known).get(node_id) is None


def _removed(node_id: str) -> DataError:
    return DataError(
        f"{node_id} was {members.REMOVED} while the others went on, so its disk lacks what was counted since: recover "
        "the disk of a member. Nothing was changed"
    )


def _open(directory: DataDirectory, node_id: str, snapshot: SnapshotMeta | None) -> Journal:
    def failed(error: BaseException) -> None:
        raise _failed(error) from error

    return Journal.open(
        directory.files, InlineWriter(), snapshot=snapshot, on_failure=failed, node_id=node_id, may_create=False
    )


def _write(journal: Journal, recovery: Recovery, directory: DataDirectory, node_id: str, raft_address: str) -> None:
    alone = members.Members(
        (members.Member(node_id, raft_address, directory.identity.incarnation, voter=True),),
        f"recovered alone from index {recovery.last_index}, cluster {recovery.before}",
    )
    raised = entry.encode_entry(0, [entry.encode_batch([entry.RaiseGeneration(alone.reason)])])
    journal.setCurrentTerm(recovery.term, node_id)
    journal.add(MEMBERS + members.encode(alone), recovery.last_index + 1, recovery.term)
    journal.add(REGULAR + raised, recovery.last_index + 2, recovery.term)
    journal.flush()
    journal.close()
