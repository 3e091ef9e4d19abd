"""The node's log, with PySyncObj's journal interface: held in memory, and written to disk in groups of records.

Its promises:

- Once `synced` has passed a record, the record survives power loss.
- Records become durable in the order in which they were made. So a term, a ballot and the entries after them need only
  one sync.
- A log that opens is a prefix of the records that were written, and has all that were synced.
- When the disk fails, the log calls `on_failure` once, writes nothing more and calls nothing durable any more.

The engine adds, cuts and compacts on the loop, then calls `flush`. The journal calls `on_synced` when more is durable.
Only `open` and `close` wait for the disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar, overload

from quorate.cluster.raft.storage import segments
from quorate.cluster.raft.storage.files import Files
from quorate.cluster.raft.storage.open_log import open_log
from quorate.cluster.raft.storage.replay import Entry, ReplayedLog, Segment
from quorate.cluster.raft.storage.segments import HINT_NAME, GroupMark, Head, Hint, Point
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta
from quorate.cluster.raft.storage.writer import Writer
from quorate.crash_points import crash_point
from quorate.errors import DataError, QuorateError
from quorate.measures import SHORT_SECONDS, Histogram

SEGMENT_BYTES = 16 * 1024 * 1024
# Overwriting zeros costs a sync less than growing the file does: see docs/design/storage.md.
ZEROS_AHEAD_BYTES = 1024 * 1024
CLOSE_TIMEOUT_S = 10.0
# Of memory, for each entry: a tuple, two numbers, the objects of command and chain value, their places in the lists.
ENTRY_OVERHEAD_BYTES = 250
BASE_COMMAND = b"\x01"  # PySyncObj's no-op, as its own new log begins; a base is never sent

T = TypeVar("T")
log = logging.getLogger("quorate.journal")


class Journal:
    """The log of one replica. The first element held is its base: the last entry that a snapshot stands for."""

    def __init__(
        self,
        files: Files,
        writer: Writer,
        replayed: ReplayedLog,
        on_synced: Callable[[], None],
        on_failure: Callable[[BaseException], None],
        segment_bytes: int,
    ) -> None:
        """Use `open`."""
        self.position = 0  # records made since the log was opened
        self.synced = 0  # how many of these records are durable
        self.synced_index = replayed.last.index  # the index of the last durable entry
        self.bytes_in_memory = 0
        self.pending_bytes = 0  # of records that the writer has not got yet: grows while a sync lasts
        self.sync_times = Histogram(SHORT_SECONDS)  # of groups, written and synced; the disk thread fills it
        self._files = files
        self._writer = writer
        self._on_synced, self._on_failure = on_synced, on_failure
        self._segment_bytes = segment_bytes
        self._entries: list[Entry] = [(BASE_COMMAND, replayed.base.index, replayed.base.term), *replayed.entries]
        self._chains: list[bytes] = [replayed.base.chain, *replayed.chains]
        self._term = max(replayed.term, replayed.last.term)
        self._ballot = replayed.ballot if self._term == replayed.term else None
        self.synced_vote = self._term, self._ballot  # the durable term, and the ballot given in it
        self._committed = replayed.committed
        self._segments = replayed.segments
        self._pending: list[bytes] = []  # framed and in order
        self._restart_due = False  # a snapshot replaced the log: the next group begins a new first segment
        self._sealed = True  # whether the last record on disk is a mark
        self._writing = False
        self._batch_index = (
            self.synced_index
        )  # what `synced_index` will be when the group that is being written is durable
        self._handed_over = (
            replayed.last,
            self._term,
            self._ballot,
        )  # last entry, term and ballot when the last group went to the writer
        self._failure: BaseException | None = None
        self._failure_reported = False
        self._closed = False
        self._count_memory()

    @classmethod
    def open(
        cls,
        files: Files,
        writer: Writer,
        *,
        snapshot: SnapshotMeta | None,
        on_failure: Callable[[BaseException], None],
        on_synced: Callable[[], None] = lambda: None,
        segment_bytes: int = SEGMENT_BYTES,
        node_id: str = "NODE",
        may_create: bool = True,
    ) -> Journal:
        """Read the log back and make it durable; blocking. Raises `DataError` if the log cannot be trusted.

        `may_create=False` is for a node that must have had a log. If the log is gone, the node has forgotten its
        ballots.
        """
        try:
            replayed, restart = open_log(files, snapshot, node_id, may_create=may_create)
            journal = cls(files, writer, replayed, on_synced, on_failure, segment_bytes)
            if restart and snapshot is not None:
                log.info(
                    "the log ends at %d or differs: it begins anew at the snapshot's %d",
                    replayed.last.index,
                    snapshot.index,
                )
                journal.reset(snapshot)
            if restart or not replayed.segments:
                journal._group([])()
            journal._group([])()  # seals the last group
            files.sync(HINT_NAME)
        except OSError as error:
            raise DataError(
                f"the log in {files.where} cannot be opened: {error.strerror or error}. Nothing was lost by this; "
                f"put it right and start again"
            ) from error
        journal._committed = min(
            max(journal._committed, journal.first_index, snapshot.index if snapshot else 0), journal.last_index
        )
        journal.position = 0
        return journal

    # ---- PySyncObj's interface (its spelling; positions count from the base) -----------------------------------------

    def add(self, command: bytes, idx: int, term: int) -> None:
        _, last_index, last_term = self._entries[-1]
        if idx != last_index + 1 or term < last_term:
            raise ValueError(f"entry {idx} of term {term} cannot follow entry {last_index} of term {last_term}")
        chain = segments.chain_of(self._chains[-1], idx, term, command)
        self._entries.append((command, idx, term))
        self._chains.append(chain)
        self.bytes_in_memory += len(command) + ENTRY_OVERHEAD_BYTES
        self._append(segments.entry_prefix(idx, term, chain, command), command)

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803
        if entryFrom < 1:
            raise ValueError("the base of a log is committed and cannot be cut")
        if entryFrom >= len(self._entries):
            return
        self.bytes_in_memory -= _bytes_of(self._entries[entryFrom:])
        del self._entries[entryFrom:], self._chains[entryFrom:]
        last = self._last
        self.synced_index = min(self.synced_index, last.index)
        self._batch_index = min(self._batch_index, last.index)
        self._append(segments.cut_record(last))

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803
        self.compact(self.first_index + entryTo)

    def clear(self) -> None:
        raise RuntimeError("a log is never emptied: installing a snapshot is reset()")

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        return self._entries[item]

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803
        """Written with the next group, if its entry is durable by then. After a restart it may be old, never wrong."""
        self._committed = raftCommitIndex

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        return self._committed

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803
        if term < self._term:
            raise ValueError(f"term {term} after term {self._term}")
        if (term, votedForNodeId) != (self._term, self._ballot):
            self._term, self._ballot = term, votedForNodeId
            self._append(segments.term_record(term, votedForNodeId))

    def getCurrentTerm(self) -> int:  # noqa: N802
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        return self._ballot

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Seal the last group with a mark if no group followed it. Then damage to it is told from a torn tail."""
        if not self._sealed and not self._pending:
            self._hand_over()

    def _destroy(self) -> None:
        self.close()

    # ---- for the engine ---------------------------------------------------------------------------------------------

    @property
    def first_index(self) -> int:
        """The index of the base. The first entry held is the next one."""
        return self._entries[0][1]

    @property
    def last_index(self) -> int:
        return self._entries[-1][1]

    @property
    def bytes_on_disk(self) -> int:
        return sum(segment.allocated for segment in self._segments)

    def chain_at(self, index: int) -> bytes:
        """Raises IndexError if the log does not have the entry."""
        if not self.first_index <= index <= self.last_index:
            raise IndexError(f"entry {index} is not held: the log has {self.first_index} to {self.last_index}")
        return self._chains[index - self.first_index]

    def command_at(self, index: int) -> bytes:
        """Of an entry that is held and is not the base."""
        return self._entries[index - self.first_index][0]

    def flush(self) -> None:
        """Begin to write the pending records, unless a group is being written: then they follow when it is done."""
        if self._pending or self._restart_due:
            self._hand_over()

    def reset(self, meta: SnapshotMeta) -> None:
        """Drop all entries: a snapshot that is durable here replaces them. Term and ballot stay."""
        if meta.term > self._term:
            self._term, self._ballot = meta.term, None
        self._entries, self._chains = [(BASE_COMMAND, meta.index, meta.term)], [meta.chain]
        self._handed_over = self._last, self._term, self._ballot
        self._pending, self.pending_bytes = [], 0  # their terms and ballots are in the new head
        self._restart_due = True
        self._committed = max(self._committed, meta.index)
        self.synced_index = self._batch_index = meta.index
        self.position += 1
        self._count_memory()

    def compact(self, to_index: int) -> None:
        """Drop the entries before `to_index`, which becomes the base. A durable snapshot at or after it must exist."""
        keep = to_index - self.first_index
        if keep <= 0:
            return
        if to_index > self.last_index:
            raise ValueError(f"entry {to_index} is beyond the end of the log, {self.last_index}")
        self.bytes_in_memory -= _bytes_of(self._entries[1 : keep + 1])
        self._entries[: keep + 1] = [(BASE_COMMAND, to_index, self._entries[keep][2])]
        del self._chains[:keep]
        self.synced_index = max(self.synced_index, to_index)
        self._batch_index = max(self._batch_index, to_index)
        self._remove_segments(to_index)

    def close(self) -> None:
        """Write the pending records and a clean mark. Idempotent; ends within `CLOSE_TIMEOUT_S` if the disk hangs."""
        if self._closed:
            return
        self._closed = True
        groups = [self._group(self._pending)] if self._pending or self._restart_due else []
        groups.append(self._group([], clean=True))

        def finish() -> None:
            for group in groups:
                self._unless_failed(group)
            self._unless_failed(lambda: self._files.sync(HINT_NAME))

        try:
            self._writer.wait(finish, timeout_s=CLOSE_TIMEOUT_S)
        except (OSError, TimeoutError, QuorateError, RuntimeError) as error:
            log.warning("the log was not closed cleanly: %s; what was acknowledged is on disk", error)

    # ---- to the disk ------------------------------------------------------------------------------------------------

    @property
    def _last(self) -> Point:
        _, index, term = self._entries[-1]
        return Point(index, term, self._chains[-1])

    def _append(self, *parts: bytes) -> None:
        self._pending += parts
        self.pending_bytes += sum(map(len, parts))
        self.position += 1
        self._sealed = False

    def _hand_over(self) -> None:
        if self._writing or self._closed or self._failure is not None:
            return
        pending, self._pending, self.pending_bytes = self._pending, [], 0
        group, position, vote = self._group(pending), self.position, (self._term, self._ballot)
        self._writing = True
        self._writer.run(
            lambda: self._unless_failed(lambda: self._time(group)),
            lambda result: self._written(position, vote, result),
            brief=True,
        )

    def _time(self, group: Callable[[], None]) -> None:
        began_s = perf_counter()
        group()
        self.sync_times.add(perf_counter() - began_s)

    def _written(self, position: int, vote: tuple[int, str | None], result: BaseException | None) -> None:
        self._writing = False
        if result is not None:
            self._fail(result)
        elif not self._closed:
            crash_point("journal-synced-untold")
            self.synced, self.synced_index, self.synced_vote = position, self._batch_index, vote
            self._on_synced()
            self.flush()

    def _group(self, pending: list[bytes], *, clean: bool = False) -> Callable[[], None]:
        """The operation that makes `pending` durable, after a mark, or after a head if a new segment is due."""
        obsolete = [segments.name_of(s.number) for s in self._segments] if self._restart_due else []
        durable = min(self._committed, self.synced_index)
        tail = self._segments[-1] if self._segments else None
        if tail is None or self._restart_due or tail.size >= self._segment_bytes:
            number, size = (tail.number + 1, tail.size) if tail else (1, 0)
            head = Head(number, self._restart_due, size, durable, *self._handed_over)
            first = segments.head_record(head)
            tail = Segment(number, head.base.index, 0, 0)
            self._segments = [tail] if self._restart_due else [*self._segments, tail]
        else:
            first = segments.mark_record(GroupMark(tail.number, tail.size, durable, clean))
        self._restart_due, self._sealed = False, not pending
        self._handed_over, self._batch_index = (self._last, self._term, self._ballot), self.last_index
        return self._write(tail, [first, *pending], obsolete)

    def _write(self, tail: Segment, parts: list[bytes], obsolete: list[str]) -> Callable[[], None]:
        files, name, offset = self._files, segments.name_of(tail.number), tail.size
        tail.size += sum(map(len, parts))
        if tail.size > tail.allocated:
            tail.allocated = max(tail.size, min(tail.size + ZEROS_AHEAD_BYTES, self._segment_bytes))
            parts = [*parts, bytes(tail.allocated - tail.size)]
        hint = segments.hint_bytes(Hint(tail.number, tail.size))

        def write() -> None:
            crash_point("segment-before-write" if offset == 0 else "journal-before-write")
            files.write(name, offset, b"".join(parts), durable=True)
            crash_point("journal-after-write")
            files.write(HINT_NAME, 0, hint)  # not synced: it is for killed processes only
            for old in obsolete:
                crash_point("log-replaced-before-remove")
                files.remove(old)

        return write

    def _remove_segments(self, to_index: int) -> None:
        """Remove the segments before the last one that begins at or before `to_index`: replay does not need them."""
        kept = max((i for i, s in enumerate(self._segments) if s.base_index <= to_index), default=0)
        names = [segments.name_of(segment.number) for segment in self._segments[:kept]]
        if not names or self._failure is not None or self._closed:
            return

        def remove() -> None:
            for name in names:  # the oldest first, so that no gap can appear
                crash_point("segment-before-remove")
                self._files.remove(name)
                crash_point("segment-after-remove")

        self._segments = self._segments[kept:]
        self._writer.run(lambda: self._unless_failed(remove), self._removed)

    def _removed(self, result: BaseException | None) -> None:
        if result is not None:
            self._fail(result)

    def _unless_failed(self, operation: Callable[[], T]) -> T:
        """Run an operation on the disk thread, unless one has failed: after a failed write nothing may be written."""
        if self._failure is not None:
            raise self._failure
        try:
            return operation()
        except BaseException as error:
            self._failure = error
            raise

    def _fail(self, error: BaseException) -> None:
        if not self._failure_reported:
            self._failure_reported = True
            self._on_failure(error)

    def _count_memory(self) -> None:
        self.bytes_in_memory = _bytes_of(self._entries)


def _bytes_of(entries: list[Entry]) -> int:
    return sum(len(command) + ENTRY_OVERHEAD_BYTES for command, _, _ in entries)
