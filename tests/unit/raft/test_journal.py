"""The journal as the engine uses it: its entries, which of them are durable, and what a restart finds."""

from __future__ import annotations

import errno

import pytest

from quorate.cluster.raft.storage import segments
from quorate.cluster.raft.storage.segments import GENESIS, chain_of
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.errors import DataError
from tests.unit.raft.small_logs import Disk, append, lead, state_of


def test_a_new_log_has_the_base_that_pysyncobj_would_make() -> None:
    journal = Disk().open()
    assert [(b"\x01", 1, 0)] == journal[:]
    assert (1, 1, 1) == (journal.first_index, journal.last_index, journal.synced_index)
    assert (0, None, 1) == (journal.getCurrentTerm(), journal.getVotedForNodeId(), journal.getRaftCommitIndex())


def test_positions_and_slices_count_from_the_base() -> None:
    journal = Disk().open()
    lead(journal, 1)
    append(journal, b"two", b"three", b"four")
    assert (b"three", 3, 1) == journal[2]
    assert [(b"three", 3, 1), (b"four", 4, 1)] == journal[2:]
    assert (b"four", 4, 1) == journal[-1]
    assert 4 == len(journal)


def test_a_ballot_is_told_as_durable_when_its_sync_has_returned() -> None:
    """What peers remember of this disk must never exceed it."""
    disk = Disk()
    journal = disk.open()
    journal.setCurrentTerm(3, None)
    journal.flush()
    journal.setCurrentTerm(3, "b")  # waits until the group before it is written
    told = [journal.synced_vote]
    for _ in range(2):
        disk.writer.complete()
        told.append(journal.synced_vote)
    assert [(0, None), (3, None), (3, "b")] == told
    assert (3, "b") == disk.open().synced_vote


def test_nothing_is_durable_before_its_sync_returns() -> None:
    disk = Disk()
    journal = disk.open()
    lead(journal, 1)
    append(journal, b"two")
    journal.flush()
    assert (2, 0, 1, 0) == (journal.position, journal.synced, journal.synced_index, disk.synced)
    disk.writer.complete()
    assert (2, 2, 2, 1) == (journal.position, journal.synced, journal.synced_index, disk.synced)


def test_what_comes_during_a_sync_is_the_next_group() -> None:
    disk = Disk()
    journal = disk.open()
    append(journal, b"two")
    journal.flush()
    append(journal, b"three", b"four")
    journal.flush()
    assert 1 == len(disk.writer)
    disk.writer.complete()
    assert (2, 1) == (journal.synced_index, journal.synced)
    assert 1 == len(disk.writer), "the end of a sync begins the next one"
    disk.writer.complete()
    assert (4, 3) == (journal.synced_index, journal.synced)


def test_a_cut_lowers_what_is_durable_even_when_its_sync_is_under_way() -> None:
    disk = Disk()
    journal = disk.open()
    append(journal, b"two", b"three", b"four")
    disk.sync(journal)
    append(journal, b"five")
    journal.flush()
    journal.deleteEntriesFrom(2)
    append(journal, b"another three", b"another four", b"another five")
    assert 2 == journal.synced_index
    disk.writer.complete()
    assert 2 == journal.synced_index, "the entries now at 3 to 5 are not those that were synced"
    disk.sync(journal)
    assert 5 == journal.synced_index
    assert state_of(journal) == state_of(Disk(disk.files.copy()).open())


def test_entries_terms_and_ballots_survive_a_restart() -> None:
    disk = Disk()
    journal = disk.open()
    for term in range(1, 30):
        lead(journal, term, None if term % 3 else f"n{term}")
        append(journal, b"x" * term, b"")
        disk.sync(journal)
    before = state_of(journal)
    assert 3 < len(disk.segments)
    disk.files.crash()
    journal = Disk(disk.files).open()
    assert before == state_of(journal)
    assert 59 == journal.synced_index


def test_the_chain_can_be_computed_from_the_entries() -> None:
    journal = Disk().open()
    append(journal, b"two", b"three")
    two = chain_of(GENESIS.chain, 2, 0, b"two")
    assert [bytes(16), two, chain_of(two, 3, 0, b"three")] == [journal.chain_at(index) for index in (1, 2, 3)]
    with pytest.raises(IndexError):
        journal.chain_at(4)


def test_entries_only_follow_one_another() -> None:
    journal = Disk().open()
    lead(journal, 2)
    append(journal, b"two")
    with pytest.raises(ValueError, match="cannot follow"):
        journal.add(b"four", 4, 2)
    with pytest.raises(ValueError, match="cannot follow"):
        journal.add(b"three", 3, 1)
    with pytest.raises(ValueError, match="after term 2"):
        journal.setCurrentTerm(1, None)
    with pytest.raises(ValueError, match="committed"):
        journal.deleteEntriesFrom(0)


def test_compaction_forgets_entries_and_whole_segments() -> None:
    disk = Disk()
    journal, snapshots = disk.open(), SnapshotStore(disk.files)
    for _ in range(20):
        append(journal, *[b"x" * 100] * 5)
        disk.sync(journal)
    before, bytes_before = journal[60:], journal.bytes_on_disk
    meta = snapshots.save(70, 0, journal.chain_at(70), b"", b"image")
    journal.compact(61)
    disk.writer.drain()
    assert [(b"\x01", 61, 0), *before[1:]] == journal[:]
    assert sum(len(command) + 250 for command, _, _ in journal[:]) == journal.bytes_in_memory
    assert bytes_before / 2 > journal.bytes_on_disk
    again = Disk(disk.files.copy()).open(meta)
    assert journal[1:] == again[61 - again.first_index + 1 :]
    assert journal.chain_at(101) == again.chain_at(101)
    assert 70 == again.getRaftCommitIndex()


def test_stock_compaction_keeps_the_entry_it_names_as_base() -> None:
    journal = Disk().open()
    append(journal, b"two", b"three", b"four")
    journal.deleteEntriesTo(2)
    assert [(b"\x01", 3, 0), (b"four", 4, 0)] == journal[:]


def test_an_installed_snapshot_replaces_the_log_and_keeps_term_and_ballot() -> None:
    disk = Disk()
    journal, snapshots = disk.open(), SnapshotStore(disk.files)
    lead(journal, 3, "n1")
    append(journal, *[b"x" * 100] * 30)
    disk.sync(journal)
    append(journal, b"never written")
    meta = snapshots.save(1_000, 3, b"c" * 16, b"", b"image")
    journal.reset(meta)
    assert 1_000 == journal.synced_index, "the snapshot is durable, and stands for all before it"
    append(journal, b"next")
    disk.sync(journal)
    assert [(b"\x01", 1_000, 3), (b"next", 1_001, 3)] == journal[:]
    assert (journal.position, 1_001) == (journal.synced, journal.synced_index)
    assert 1 == len(disk.segments)
    disk.files.crash()
    again = Disk(disk.files).open(meta)
    assert state_of(journal) == state_of(again)
    assert journal.chain_at(1_001) == again.chain_at(1_001)


def test_a_log_that_ends_before_the_snapshot_is_replaced_by_it() -> None:
    """A node may apply entries, and put them into a snapshot, before its own log has synced them."""
    disk = Disk()
    journal = disk.open()
    lead(journal, 1)
    append(journal, b"two", b"three")
    disk.sync(journal)
    meta = SnapshotStore(disk.files).save(9, 1, b"c" * 16, b"", b"image")
    again = Disk(disk.files).open(meta)
    assert [(b"\x01", 9, 1)] == again[:]
    assert b"c" * 16 == again.chain_at(9)


@pytest.mark.parametrize(
    ("index", "term", "chain", "words"),
    [(2, 0, b"c" * 16, "log and snapshot differ about entry 2"), (1, 0, GENESIS.chain, "begins after 3")],
)
def test_a_snapshot_that_the_log_contradicts_is_refused(index: int, term: int, chain: bytes, words: str) -> None:
    disk = Disk()
    journal, snapshots = disk.open(), SnapshotStore(disk.files)
    append(journal, b"two", b"three" * 200)
    disk.sync(journal)
    append(journal, b"four" * 200)
    disk.sync(journal)
    if index == 1:
        snapshots.save(3, 0, journal.chain_at(3), b"", b"")
        journal.compact(3)
        disk.writer.drain()
        assert 1 == len(disk.segments)
    with pytest.raises(DataError, match=words):
        Disk(disk.files).open(SnapshotMeta(index, term, chain, b"", 0, "00"))


def test_the_commit_index_on_disk_is_never_ahead_of_what_was_durable() -> None:
    disk = Disk()
    journal = disk.open()
    append(journal, b"two", b"three")
    disk.sync(journal)
    append(journal, b"four", b"five")
    journal.setRaftCommitIndex(5)
    disk.sync(journal)
    assert 3 == Disk(disk.files.copy()).open().getRaftCommitIndex()
    journal.onOneSecondTimer()
    disk.writer.drain()
    assert 5 == Disk(disk.files.copy()).open().getRaftCommitIndex()


def test_an_idle_log_is_sealed_once_and_then_left_alone() -> None:
    disk = Disk()
    journal = disk.open()
    append(journal, b"two")
    disk.sync(journal)
    journal.onOneSecondTimer()
    assert 1 == len(disk.writer)
    disk.writer.drain()
    journal.onOneSecondTimer()
    assert 0 == len(disk.writer)


def test_closing_writes_what_is_pending_and_a_clean_mark() -> None:
    disk = Disk()
    journal = disk.open()
    append(journal, b"two")
    journal.flush()
    append(journal, b"three")
    journal.close()
    journal.close()
    disk.files.crash()
    assert state_of(journal) == state_of(Disk(disk.files).open())


# ---- a disk that fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(1, 10))
def test_a_failing_disk_ends_the_journal_at_once_and_for_good(step: int) -> None:
    disk = Disk()
    journal = disk.open()
    append(journal, b"two")
    disk.sync(journal)
    said = disk.synced
    disk.files.fail(step)
    append(journal, b"three")
    disk.sync(journal)
    append(journal, b"four")
    journal.onOneSecondTimer()
    disk.sync(journal)
    journal.close()
    assert [errno.EIO] == [error.errno for error in disk.failures if isinstance(error, OSError)]
    assert (2, said) == (journal.synced_index, disk.synced)


def test_nothing_is_removed_after_a_write_that_failed() -> None:
    """The write began the segment that was to replace the removed ones."""
    disk = Disk()
    journal = disk.open()
    append(journal, *[b"x" * 100] * 10)
    disk.sync(journal)
    append(journal, b"begins a segment")
    disk.files.fail(3)
    journal.flush()
    journal.compact(journal.last_index)
    assert 2 == len(disk.writer)
    disk.writer.drain()
    assert 1 == len(disk.failures)
    assert segments.name_of(1) in disk.segments


@pytest.mark.parametrize("step", range(1, 10))
def test_after_a_failed_sync_a_restart_does_not_believe_the_cache(step: int) -> None:
    """A page that the kernel failed to write stays in its cache, and later syncs skip it. So it is written again."""
    disk = Disk()
    journal = disk.open()
    append(journal, b"two")
    disk.sync(journal)
    disk.files.fail(step)
    append(journal, b"three")
    disk.sync(journal)
    disk.files.kill()
    disk = Disk(disk.files)
    journal = disk.open()
    append(journal, b"next")
    disk.sync(journal)
    disk.files.crash()
    assert state_of(journal) == state_of(Disk(disk.files).open())


@pytest.mark.parametrize("room_bytes", range(0, 400, 7))
def test_a_full_disk_stops_the_journal_and_goes_on_when_there_is_room(room_bytes: int) -> None:
    disk = Disk()
    journal = disk.open()
    disk.files.room_bytes = room_bytes
    while not disk.failures:
        append(journal, b"x" * 50)
        disk.sync(journal)
    assert errno.ENOSPC == getattr(disk.failures[0], "errno", None)
    told = journal.synced_index
    disk.files.kill()
    disk.files.room_bytes = -1_000_000  # others have filled it
    with pytest.raises(DataError, match="No space left"):
        Disk(disk.files).open()
    disk.files.kill()
    disk.files.room_bytes = None
    disk = Disk(disk.files)
    journal = disk.open()
    assert told <= journal.last_index
    append(journal, b"next")
    disk.sync(journal)
    assert journal.last_index == journal.synced_index


# ---- a log that is gone ---------------------------------------------------------------------------------------------


def test_a_log_that_is_gone_is_not_made_again() -> None:
    disk = Disk()
    journal = disk.open()
    lead(journal, 7)
    disk.sync(journal)
    for name in disk.segments:
        disk.files.put(name, None)
    with pytest.raises(DataError, match="quorate members replace n2"):
        Disk(disk.files).open()
    disk.files.put(segments.HINT_NAME, None)
    with pytest.raises(DataError, match="quorate members replace n2"):
        Disk(disk.files).open(may_create=False)
    meta = SnapshotStore(disk.files).save(5, 1, b"c" * 16, b"", b"")
    with pytest.raises(DataError, match="quorate members replace n2"):
        Disk(disk.files).open(meta)


def test_a_newer_format_is_refused_in_words() -> None:
    disk = Disk()
    disk.open()
    head = segments.frame(segments.HEAD, segments._MAGIC + (99).to_bytes(2, "little") + b"whatever comes then")
    disk.files.put(segments.name_of(1), head)
    with pytest.raises(DataError, match="format 99"):
        Disk(disk.files).open()
