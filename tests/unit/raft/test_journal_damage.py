"""Damage: each byte of a small log is flipped, each prefix of it is taken, each file is removed.

The log opens as it was, or it does not open. It may open shorter only if no peer can know of the lost entries.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorate.cluster.raft.storage import segments
from quorate.cluster.raft.storage.snapshot_store import SnapshotStore
from quorate.errors import DataError
from tests.simulation.files import PowerCut, SimFiles
from tests.unit.raft.small_logs import Disk, State, append, lead, state_of


class Story:
    """A log of several segments, and the states it went through."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.journal = self.disk.open()
        self.states = [state_of(self.journal)]
        self.do(lambda: lead(self.journal, 1))
        self.do(lambda: append(self.journal, b"two"), lambda: append(self.journal, b"three" * 20), self.sync)
        self.do(lambda: append(self.journal, b"four" * 90), self.sync)
        self.do(lambda: append(self.journal, b"five" * 90), lambda: append(self.journal, b"six"), self.sync)
        self.do(lambda: lead(self.journal, 3, "n1"), lambda: self.journal.deleteEntriesFrom(4), self.sync)
        self.do(lambda: append(self.journal, b"another six"), self.sync)
        self.do(lambda: append(self.journal, b"seven" * 40), lambda: append(self.journal, b"eight"), self.sync)
        self.sure = len(self.states) - 1  # the state before the last group
        self.last_group = len(self.bytes)
        assert 3 == len(self.disk.segments)
        self.do(lambda: lead(self.journal, 4), lambda: append(self.journal, b"nine"), lambda: append(self.journal, b""))
        self.sync()
        assert 3 == len(self.disk.segments)

    def do(self, *steps: Callable[[], None]) -> None:
        for step in steps:
            step()
            if state_of(self.journal) != self.states[-1]:
                self.states.append(state_of(self.journal))

    def sync(self) -> None:
        self.disk.sync(self.journal)

    @property
    def bytes(self) -> bytes:
        """The bytes of the last segment, without the zeros written ahead."""
        return self.disk.files.read(self.disk.segments[-1])[: self.journal._segments[-1].size]

    @property
    def end(self) -> State:
        return self.states[-1]


def killed() -> Story:
    """The hint is there, the last group is not sealed."""
    return Story()


def lost_power() -> Story:
    """Neither hint nor seal: the last group was synced, and nothing on the disk proves it."""
    story = Story()
    story.disk.files.put(segments.HINT_NAME, None)
    return story


def sealed() -> Story:
    """As the log is a second later: the last group is sealed."""
    story = Story()
    story.journal.onOneSecondTimer()
    story.disk.writer.drain()
    story.disk.files.put(segments.HINT_NAME, None)
    return story


def closed() -> Story:
    story = Story()
    story.journal.close()
    return story


def opened(files: SimFiles) -> State | None:
    """The state that a node finds, or None if it refuses to start."""
    try:
        return state_of(Disk(files).open())
    except DataError:
        return None


def flips(story: Story) -> Iterator[tuple[str, int, SimFiles]]:
    for name in story.disk.files.names():
        for offset in range(story.disk.files.size(name)):
            for mask in (1 << offset % 8, 0xFF):
                files = story.disk.files.copy()
                files.flip(name, offset, mask)
                yield name, offset, files


@pytest.mark.parametrize("make", [killed, sealed, closed])
def test_a_flipped_byte_is_refused_or_harmless(make: Callable[[], Story]) -> None:
    story = make()
    refused = 0
    for name, offset, files in flips(story):
        found = opened(files)
        assert found in (None, story.end), f"{name}, byte {offset}"
        refused += found is None
    assert refused > 1_000


def test_without_proof_only_the_last_group_can_be_taken_for_torn() -> None:
    """After a power loss within a second of the last group, a flip in that very group looks like a torn tail."""
    story = lost_power()
    for name, offset, files in flips(story):
        found = opened(files)
        if name == story.disk.segments[-1] and offset >= story.last_group:
            assert found in story.states[story.sure :], f"{name}, byte {offset}"
        else:
            assert found in (None, story.end), f"{name}, byte {offset}"


@pytest.mark.parametrize(("make", "may_be_shorter"), [(killed, False), (closed, False), (lost_power, True)])
def test_a_prefix_is_a_torn_tail_unless_it_was_synced(make: Callable[[], Story], may_be_shorter: bool) -> None:
    story = make()
    name, whole = story.disk.segments[-1], story.bytes
    for length in range(len(whole)):
        files = story.disk.files.copy()
        files.put(name, whole[:length])
        found = opened(files)
        if may_be_shorter:
            assert found in story.states, f"{length} bytes"
        else:
            assert found is None, f"{length} bytes"


def test_a_prefix_of_an_earlier_segment_is_damage() -> None:
    story = lost_power()
    for name in story.disk.segments[:-1]:
        whole = story.disk.files.read(name)
        for length in range(len(whole.rstrip(b"\0"))):
            files = story.disk.files.copy()
            files.put(name, whole[:length])
            assert opened(files) is None, f"{name}, {length} bytes"


@pytest.mark.parametrize("make", [killed, sealed, closed])
def test_a_missing_segment_is_damage(make: Callable[[], Story]) -> None:
    story = make()
    for name in story.disk.segments:
        if make is sealed and name == story.disk.segments[-1]:
            continue  # without the hint nothing says that it was there
        files = story.disk.files.copy()
        files.put(name, None)
        assert opened(files) is None, name


def test_garbage_and_zeros_after_the_end_are_a_torn_tail() -> None:
    story = killed()
    name, whole = story.disk.segments[-1], story.bytes
    for tail in (b"", bytes(5), bytes(5_000), b"garbage", b"\xff" * 5_000, whole[1:100], bytes(100) + whole[:-1]):
        files = story.disk.files.copy()
        files.put(name, whole + tail)
        assert story.end == opened(files)


def test_a_torn_tail_is_gone_for_good() -> None:
    """Otherwise its records could be read later, after shorter new ones."""
    story = killed()
    name, whole = story.disk.segments[-1], story.bytes
    story.disk.files.put(name, whole + bytes(50) + b"x" * 5_000)
    Disk(story.disk.files).open()
    assert b"x" not in story.disk.files.read(name)[len(whole) :]


def test_a_tail_is_not_torn_where_another_segment_follows() -> None:
    """A next segment is begun only after this one was synced, however little of the next one can be read."""
    story = lost_power()
    first, second = story.disk.segments[:2]
    for name in story.disk.segments[2:]:
        story.disk.files.put(name, None)
    story.disk.files.put(second, b"torn")
    files = story.disk.files.copy()
    assert opened(files) in story.states
    story.disk.files.put(first, story.disk.files.read(first)[:-50] + b"x" * 50)
    assert opened(story.disk.files) is None


def test_another_logs_segment_is_damage() -> None:
    ours, theirs = Disk(), Disk()
    for disk, letter in ((ours, b"o"), (theirs, b"t")):
        journal = disk.open()
        append(journal, letter * 700)
        disk.sync(journal)
        lead(journal, 1)
        disk.sync(journal)
    name = segments.name_of(2)
    ours.files.put(name, theirs.files.read(name))
    assert opened(ours.files) is None


def test_entries_that_change_places_are_damage() -> None:
    disk = Disk()
    journal = disk.open()
    append(journal, b"one of two", b"two of two")
    disk.sync(journal)
    name = disk.segments[0]
    data, prefix = disk.files.read(name), segments.entry_prefix(2, 0, journal.chain_at(2), b"one of two")
    at, size = data.index(prefix), len(prefix) + 10
    disk.files.put(name, data[:at] + data[at + size : at + 2 * size] + data[at : at + size] + data[at + 2 * size :])
    with pytest.raises(DataError, match="the entry does not follow the one before it"):
        disk.open()


@pytest.mark.parametrize("seed", range(3))
def test_an_installed_log_is_durable_before_the_old_one_is_removed(seed: int) -> None:
    """A process dies between writing the new log and syncing it, and the next process loses power while it starts."""
    for steps in range(30):
        story = Story()
        meta = SnapshotStore(story.disk.files).save(100, 9, b"c" * 16, b"", b"")
        story.journal.reset(meta)
        story.journal.flush()
        story.disk.writer.die(5)
        story.disk.files.kill()
        files = story.disk.files
        files.rng, files.steps_left = random.Random(seed), steps
        with contextlib.suppress(PowerCut):
            Disk(files).open(meta)
        files.crash()
        assert 100 == Disk(files).open(meta).last_index


def test_the_refusal_names_the_file_the_entry_and_the_way_out() -> None:
    story = killed()
    story.disk.files.flip(story.disk.segments[0], story.disk.files.read(story.disk.segments[0]).index(b"threethree"))
    with pytest.raises(DataError) as refusal:
        Disk(story.disk.files).open()
    for words in ("n2's log is damaged", "sim/log-00000000000000000001.seg", "entry 3", "quorate members replace n2"):
        assert words in refusal.value.detail


def test_why_not_sqlite(tmp_path: Path) -> None:
    """After one flipped bit in SQLite's write-ahead log, acknowledged entries are gone and no error says so."""
    database = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table log (i integer primary key, command blob)")
    for index in range(100):
        database.execute("insert into log values (?, ?)", (index, b"x" * 100))
    kept = {suffix: (tmp_path / f"log.db{suffix}").read_bytes() for suffix in ("", "-wal")}
    database.close()
    damaged = bytearray(kept["-wal"])
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "found.db").write_bytes(kept[""])
    (tmp_path / "found.db-wal").write_bytes(damaged)
    database = sqlite3.connect(tmp_path / "found.db")
    assert ("ok",) == database.execute("pragma integrity_check").fetchone()
    assert 100 > database.execute("select count(*) from log").fetchone()[0]
    database.close()
