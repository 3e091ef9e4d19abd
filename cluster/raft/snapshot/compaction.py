"""Log compaction: a snapshot of the state takes the place of the log's oldest entries.

Freezing the state takes a few milliseconds on the loop. Encoding and writing happen on the snapshots' own thread, so
that neither heartbeats nor the syncs of the log wait for them. The log keeps its newest entries: a node that was away
for a moment needs no snapshot. A snapshot from the leader is read back and decoded before it replaces anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.environment import ReplicaSettings
from quorate.cluster.raft.local_state import LocalState
from quorate.cluster.raft.membership.membership import Membership
from quorate.cluster.raft.snapshot.transfer import SnapshotSender
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.cluster.raft.storage.writer import Writer
from quorate.crash_points import crash_point

log = logging.getLogger(__name__)


class Compaction:
    """Takes this node's snapshots, installs the leader's, and shortens the log behind them.

    Everything runs on the loop except for the operations that it gives to the writer. `sender` knows what peers need of
    the log that are sent a snapshot; `installed` is called when a snapshot of the leader's is in use, `failed` when a
    snapshot could not be written.
    """

    def __init__(
        self,
        snapshots: SnapshotStore,
        writer: Writer,
        engine: Engine,
        membership: Membership,
        settings: ReplicaSettings,
        newest: SnapshotMeta | None,
        *,
        state: LocalState,
        sender: SnapshotSender,
        installed: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._snapshots, self._writer, self._engine, self._membership = snapshots, writer, engine, membership
        self._settings = settings
        self._state, self._sender = state, sender
        self._installed, self._failed = installed, failed
        self._under_way = False
        # The next snapshot is due when the log takes more memory than this. It grows by what is kept for slow peers,
        # and by what a large entry takes that the log keeps as well: otherwise each entry would make one due.
        self._usual_bytes = self._due_bytes = settings.snapshot_bytes + settings.keep_bytes
        self._usual_bases = 0, 0  # where the log would begin if no peer needed more: after each of the last two
        self.newest = newest

    def compact_if_due(self) -> None:
        """Take a snapshot if the log has grown enough since the last one."""
        if not self._under_way and self._engine.journal.bytes_in_memory > self._due_bytes:
            self._take()

    def _take(self) -> None:
        engine = self._engine
        index = engine.applied_index
        if self.newest is not None and index <= self.newest.index:
            return
        self._under_way = True
        image, term, chain = self._state.current.freeze(), engine.term_at(index), engine.journal.chain_at(index)
        members = self._membership.at(index)
        self._writer.run(lambda: self._snapshots.save(index, term, chain, members, image.encode()), self._taken)

    def _taken(self, meta: SnapshotMeta | BaseException) -> None:
        self._under_way = False
        if isinstance(meta, BaseException):
            self._failed(meta)
        elif self.newest is None or meta.index > self.newest.index:
            self.newest = meta
            crash_point("compaction-before-cut")
            self._compact(meta.index)
            log.info("snapshot up to index %d taken (%d bytes)", meta.index, meta.size)

    def _compact(self, to_index: int) -> None:
        """Shorten the log, but keep what a peer needs after a short absence: up to two snapshots back.

        For a peer that is being sent a snapshot, keep the entries after that snapshot too, as far as memory allows
        (`LOG_PER_SNAPSHOT`): without them the snapshot would not help the peer.
        """
        engine = self._engine
        usual = min(to_index, engine.index_keeping(self._settings.keep_bytes))
        base = min(usual, max(self._usual_bases[0], engine.lowest_needed_index(self._sender.sent_index)))
        for index, size in self._sender.log_needed(usual):
            base = min(base, max(index, engine.index_keeping(size)))
        self._usual_bases = self._usual_bases[1], usual
        too_much = max(0, engine.bytes_between(usual, to_index) - self._settings.keep_bytes)
        self._due_bytes = self._usual_bytes + engine.bytes_between(base, usual) + too_much
        engine.journal.compact(base)

    def install(self, meta: SnapshotMeta, done: Callable[[bool], None]) -> None:
        """Use a received snapshot, unless it is unusable or too old. `done` is told whether it is used."""
        self._writer.run(
            lambda: StateMachine.restore(self._snapshots.load(meta)), lambda state: done(self._restored(meta, state))
        )

    def _restored(self, meta: SnapshotMeta, state: StateMachine | BaseException) -> bool:
        if isinstance(state, BaseException):
            log.error("the snapshot received up to index %d cannot be used: %r; asking again", meta.index, state)
            return False
        if meta.index <= self._engine.commit_index or self._engine.log_contains(meta.index, meta.term, meta.chain):
            return False
        self.newest = meta
        crash_point("install-before-reset")
        self._engine.journal.reset(meta)
        self._due_bytes = self._usual_bytes
        self._engine.snapshot_installed(meta.index)
        self._membership.snapshot_installed(meta)
        crash_point("install-before-state")
        self._state.replace(state)  # last, because listeners look at the log as well
        self._installed()
        log.info("installed the leader's snapshot up to index %d (version %d)", meta.index, state.version)
        return True
