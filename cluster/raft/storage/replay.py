"""Reads a log back at start, and tells a tail torn by a crash from damage.

After a crash a log may end in a torn tail: bytes of a group whose sync never returned, so no peer was told of them. The
tail is cut. Any other unreadable byte is damage, and then the node must not start: a log that silently ends early would
lose acknowledged entries. The two differ by the proof that the place was synced: a later mark, a later segment, or the
hint. Without a proof (a power loss right after the last group, and damage in that same group) the two look the same, as
in any log. The journal seals its last group within a second to keep this window small (compare "Protocol-Aware Recovery
for Consensus-Based Storage", FAST 2018, section 3.2).

This module only reads. `open_log` makes the changes that it finds necessary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from zlib import crc32

from quorate.cluster.raft.storage import segments
from quorate.cluster.raft.storage.files import Files
from quorate.cluster.raft.storage.segments import CHAIN_BYTES, ENTRY_HEAD, FRAME, Head, Hint, Point
from quorate.errors import DataError

Entry = tuple[bytes, int, int]  # command, index, term: as PySyncObj holds them


@dataclass
class Segment:
    """A file of the log."""

    number: int
    base_index: int  # of the last entry before it
    size: int  # bytes of its undamaged records
    allocated: int  # bytes of the file: zeros are written ahead


@dataclass
class ReplayedLog:
    """The content of a log that was read without damage."""

    base: Point
    term: int = 0
    ballot: str | None = None
    committed: int = 1
    entries: list[Entry] = field(default_factory=list)  # after the base
    chains: list[bytes] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    group_at: int = 0  # where the last group of the last segment begins
    stale: list[str] = field(default_factory=list)  # files to remove: torn at their first record, or before a reset
    torn_bytes: int = 0

    @property
    def last(self) -> Point:
        if not self.entries:
            return self.base
        _, index, term = self.entries[-1]
        return Point(index, term, self.chains[-1])

    def point_at(self, index: int) -> Point | None:
        """The entry at `index`, or the base; None if the log does not have it."""
        if index == self.base.index:
            return self.base
        at = index - self.base.index - 1
        return Point(index, self.entries[at][2], self.chains[at]) if 0 <= at < len(self.entries) else None

    def cut(self, last: Point) -> bool:
        """Drop the entries after `last`. False if the log has another entry at that index."""
        # The cut was made before the point where this replay begins. The entries after the cut follow in later records.
        if last.index < self.base.index:
            self.base, self.entries, self.chains = last, [], []
            return True
        if self.point_at(last.index) != last:
            return False
        keep = last.index - self.base.index
        del self.entries[keep:], self.chains[keep:]
        return True


def replay(files: Files, node_id: str) -> ReplayedLog | None:
    """Read the log in `files`; None if there never was one. Raises `DataError` on damage, OSError as `files` does."""
    return _Replay(files, node_id).run()


class _Replay:
    """One reading of all segments."""

    def __init__(self, files: Files, node_id: str) -> None:
        self.files = files
        self.node_id = node_id
        self.hint: Hint | None = None
        self.whole = False  # another segment followed the last one, so that all of the last one was synced

    def run(self) -> ReplayedLog | None:
        names = self.files.names()
        numbers = sorted(int(match[1]) for name in names if (match := segments.NAME.fullmatch(name)))
        if segments.HINT_NAME in names:
            self.hint = segments.parse_hint(self.files.read(segments.HINT_NAME))
        newest = self.hint.number if self.hint else 0
        if newest > max(numbers, default=0):
            raise self._lost(segments.name_of(newest), "the file is missing")
        if not numbers:
            if segments.HINT_NAME in names:
                raise self._lost(segments.name_of(1), "all files of the log are missing")
            return None
        for number in range(numbers[0], numbers[-1]):
            if number not in numbers:
                raise self._lost(segments.name_of(number), "the file is missing")
        return self._read(numbers)

    def _read(self, numbers: list[int]) -> ReplayedLog | None:
        heads = {number: self._head(number) for number in numbers}
        stale = []
        if heads[numbers[-1]] is None and not self._was_synced(numbers[-1], 0):
            # The first group of a new segment is torn. The segment before it was synced whole, and the log ends there.
            stale.append(segments.name_of(numbers.pop()))
            self.whole = True
        if not numbers:
            if segments.HINT_NAME in self.files.names():
                raise self._lost(stale[0], "its first record is unreadable")
            return ReplayedLog(segments.GENESIS, stale=stale)  # a new node died while it made its first segment
        begin = max((n for n in numbers if (head := heads[n]) and head.reset), default=numbers[0])
        stale += [segments.name_of(n) for n in numbers if n < begin]
        log: ReplayedLog | None = None
        for number in numbers[numbers.index(begin) :]:
            head = heads[number]
            if head is None:
                raise self._damaged(number, 0, log, "its first record is unreadable")
            if log is None:
                log = ReplayedLog(head.base, head.term, head.ballot)
            following = heads.get(number + 1)
            self._read_segment(log, head, following.previous_size if following else None)
        assert log is not None
        log.stale = stale
        return log

    def _head(self, number: int) -> Head | None:
        found = segments.parse_head(self.files.read_at(segments.name_of(number), 0, segments.HEAD_BYTES_MAX))
        return found[0] if found and found[0].number == number else None

    def _was_synced(self, number: int, at: int, data: bytes | None = None) -> bool:
        """Whether there is proof that the bytes from `at` on in the last segment were durable."""
        if self.hint and self.hint.number == number and self.hint.size > at:
            return True
        data = self.files.read(segments.name_of(number)) if data is None else data
        return segments.find_mark(data, number, at + 1) is not None

    def _read_segment(self, log: ReplayedLog, head: Head, size: int | None) -> None:
        """Add a segment to the log. `size` is its size as the next segment tells it; None for the last segment."""
        name = segments.name_of(head.number)
        data = self.files.read(name)
        if head.base != log.last:
            raise self._damaged(head.number, 0, log, "it does not continue the file before it")
        log.term, log.ballot = head.term, head.ballot
        log.committed = max(log.committed, head.committed)
        end = _read_records(log, head.number, data if size is None else data[:size])
        if isinstance(end, _BadRecord):
            raise self._damaged(head.number, end.at, log, end.why)
        if size is not None and end != size:
            raise self._damaged(head.number, end, log, "a record is cut short or its checksum differs")
        if size is None and end < len(data) and data.count(0, end) == len(data) - end:
            torn = 0  # zeros written ahead
        else:
            torn = len(data) - end if size is None else 0
        if size is None and (self._was_synced(head.number, end, data if torn else b"") or (torn and self.whole)):
            raise self._damaged(head.number, end, log, "a record is cut short or its checksum differs")
        log.torn_bytes = torn
        log.segments.append(Segment(head.number, head.base.index, end, len(data)))

    def _damaged(self, number: int, at: int, log: ReplayedLog | None, why: str) -> DataError:
        entry = f", entry {log.last.index + 1:,}" if log else ""
        return self._lost(f"{segments.name_of(number)}", f"byte {at:,}{entry}: {why}")

    def _lost(self, name: str, why: str) -> DataError:
        return DataError(
            f"{self.node_id}'s log is damaged: {self.files.where}/{name}: {why}. What was acknowledged may be gone, "
            f"so this node will not start on it. If the other nodes are well, start {self.node_id} on an empty folder; "
            f"then: quorate members replace {self.node_id}"
        )


@dataclass
class _BadRecord:
    """A record with a right checksum and impossible content. No crash does that."""

    at: int
    why: str


def _read_records(log: ReplayedLog, number: int, data: bytes) -> int | _BadRecord:
    """Apply the records of a segment; the offset where the undamaged ones end. Most of start-up is spent here."""
    at, size_all = 0, len(data)
    view = memoryview(data)
    unpack_frame, unpack_entry = FRAME.unpack_from, ENTRY_HEAD.unpack_from
    body, command_at = FRAME.size, FRAME.size + ENTRY_HEAD.size
    last = log.last
    previous, expected, term_before = last.chain, last.index + 1, last.term
    while at + body <= size_all:
        crc, size, kind = unpack_frame(data, at)
        stop = at + body + size
        if stop > size_all or crc32(view[at + 4 : stop]) != crc:
            break
        if kind == segments.ENTRY:
            chain, index, term = unpack_entry(data, at + body)
            hashed = blake2b(previous, digest_size=CHAIN_BYTES)
            hashed.update(view[at + body + CHAIN_BYTES : stop])
            if index != expected or term < term_before or hashed.digest() != chain:
                return _BadRecord(at, "the entry does not follow the one before it")
            log.entries.append((data[at + command_at : stop], index, term))
            log.chains.append(chain)
            previous, expected, term_before = chain, index + 1, term
        else:
            why = _apply(log, number, at, kind, data[at + body : stop])
            if why:
                return _BadRecord(at, why)
            last = log.last
            previous, expected, term_before = last.chain, last.index + 1, last.term
        at = stop
    return at


def _apply(log: ReplayedLog, number: int, at: int, kind: int, payload: bytes) -> str | None:
    """Apply a record other than an entry. Returns what is wrong with it, or None."""
    if kind == segments.MARK:
        mark = segments.parse_mark(payload)
        if mark[:2] != (number, at):
            return "a mark stands where it was not written"
        log.committed = max(log.committed, mark.committed)
        log.group_at = at
    elif kind == segments.CUT:
        if not log.cut(segments.parse_cut(payload)):
            return "a cut does not match the entries before it"
    elif kind == segments.TERM:
        term, log.ballot = segments.parse_term(payload)
        if term < log.term:
            return "the term goes backwards"
        log.term = term
    elif kind == segments.HEAD and at == 0:
        log.group_at = 0
    else:
        return f"a record of unknown kind {kind}"
    return None
