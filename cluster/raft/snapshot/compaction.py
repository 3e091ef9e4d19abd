"""When the log is long, the state stands for it: snapshots taken here, and snapshots received put in place.

Freezing the state is a matter of milliseconds on the loop; encoding and writing happen on the snapshots' own thread, so
that neither heartbeats nor the log's sync wait for them. The log keeps a suffix, so that a node that was away for a
moment needs no snapshot. A received one is read back and accepted by the state machine before anything is replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from quorate.cluster.fsm import Image, StateMachine
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.environment import ReplicaSettings
from quorate.cluster.raft.membership.membership import Membership
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.cluster.raft.storage.writer import Writer

log = logging.getLogger(__name__)


class Compaction:
    """On the loop, but for what it gives to the writer. `replace` is called when a received state is to be used."""

    def __init__(
        self,
        snapshots: SnapshotStore,
        writer: Writer,
        engine: Engine,
        membership: Membership,
        settings: ReplicaSettings,
        newest: SnapshotMeta | None,
        *,
        freeze: Callable[[], Image],
        replace: Callable[[StateMachine], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._snapshots, self._writer, self._engine, self._membership = snapshots, writer, engine, membership
        self._settings = settings
        self._freeze, self._replace, self._failed = freeze, replace, failed
        self._under_way = False
        self._usual_bytes = self._due_bytes = settings.snapshot_bytes + settings.keep_bytes  # make the next one due
        self._usual_before = 0, 0  # where the log would begin if nobody needed more: after the last two
        self.held: Callable[[str], int] = lambda peer: 0  # the index of the snapshot that a peer is being sent
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
        image, term, chain = self._freeze(), engine.term_at(index), engine.journal.chain_at(index)
        members = self._membership.at(index)
        self._writer.run(lambda: self._snapshots.save(index, term, chain, members, image.encode()), self._taken)

    def _taken(self, meta: SnapshotMeta | BaseException) -> None:
        self._under_way = False
        if isinstance(meta, BaseException):
            self._failed(meta)
        elif self.newest is None or meta.index > self.newest.index:
            self.newest = meta
            self._compact(meta.index)
            log.info("snapshot up to index %d taken (%d bytes)", meta.index, meta.size)

    def _compact(self, to_index: int) -> None:
        """Keep what a short absence needs; and of two snapshots' worth of log more what a peer on its way needs: the
        snapshot that it is sent would help it nothing if the log began behind it."""
        engine = self._engine
        usual = min(to_index, engine.index_keeping(self._settings.keep_bytes))
        base = min(usual, max(self._usual_before[0], engine.lowest_needed_index(self.held)))
        self._usual_before = self._usual_before[1], usual
        self._due_bytes = self._usual_bytes + engine.bytes_between(base, usual)
        engine.journal.compact(base)

    def install(self, meta: SnapshotMeta, done: Callable[[bool], None]) -> None:
        """Use a received snapshot, unless it turns out to be unusable or too old; `done` is told whether it is."""
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
        self._engine.journal.reset(meta)
        self._due_bytes = self._usual_bytes
        self._engine.snapshot_installed(meta.index)
        self._membership.installed(meta)
        self._replace(state)  # last: who is told of it looks at the log as well
        log.info("installed the leader's snapshot up to index %d (version %d)", meta.index, state.version)
        return True

    def status(self) -> dict[str, int]:
        newest = self.newest
        return {"snapshot_index": newest.index if newest else 0, "snapshot_bytes": newest.size if newest else 0}
