"""A file of a history that others break while it is in use: it is told in words, and recording goes on."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import NotReady
from quorate.history import history_schema, recorder
from quorate.history.history_file import NAME, HistoryBatch, HistoryDatabase, Kept, PollKey, PollRow
from quorate.history.measuring import measure
from tests.support.on_loop import on_loop
from tests.support.waiting import until
from tests.unit.history.test_history_recorder import recorded

NOW = 1_900_000_000
MOOD: PollKey = ("mood", 1)
PAGES = 60


def row(time: int, total: int, poll: PollKey = MOOD) -> PollRow:
    return PollRow(poll, time, measure([total]))


def totals(file: HistoryDatabase, poll: PollKey = MOOD) -> dict[int, int]:
    return {found.time: found.total for found in file.read("c1", poll, "seconds", 0, NOW * 2).rows}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[HistoryDatabase]:
    """In use, with one row."""
    made = HistoryDatabase(tmp_path)
    made.write("c1", HistoryBatch([row(NOW, 1)], spans=[(NOW, NOW + 5)], only={MOOD}, trim=[("seconds", NOW)]))
    yield made
    made.close()


def altered(file: HistoryDatabase, statement: str) -> None:
    """As by a bit that flipped: the database itself is whole."""
    file.close()
    with sqlite3.connect(file.path) as db:
        db.execute(statement)
    db.close()


def test_no_file_is_a_part_of_this_process_memory(file: HistoryDatabase) -> None:
    """SQLite maps `-shm` into memory: who cuts it kills the node, by SIGBUS."""
    assert {NAME, f"{NAME}-wal"} == {path.name for path in file.path.parent.iterdir()}


def test_a_file_that_is_removed_is_told_and_recording_begins_anew(
    file: HistoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    file.path.unlink()
    with caplog.at_level(logging.WARNING):
        with pytest.raises(OSError, match="begun anew"):
            file.write("c1", HistoryBatch([row(NOW + 6, 2)]))
        assert "begun anew" in file.problem
        file.write("c1", HistoryBatch([row(NOW + 7, 3)], spans=[(NOW + 7, NOW + 7)], only={MOOD}))
    assert "it was removed, or another file is in its place" in caplog.text
    assert ({NOW + 7: 3}, "", True) == (totals(file), file.problem, file.path.exists())


def test_a_file_that_is_replaced_by_another_is_let_go(file: HistoryDatabase, tmp_path: Path) -> None:
    """A copy is put back while the node runs: what it lacks is a gap, and what is written goes there."""
    (tmp_path / "other").mkdir()
    copy = HistoryDatabase(tmp_path / "other")
    copy.write("c1", HistoryBatch([row(NOW - 9, 0)], spans=[(NOW - 9, NOW - 5)]))
    copy.close()
    copy.path.replace(file.path)
    with pytest.raises(OSError, match="another file"):
        file.write("c1", HistoryBatch([row(NOW + 6, 2)]))
    file.write("c1", HistoryBatch([row(NOW + 7, 3)], spans=[(NOW + 7, NOW + 7)], only={MOOD}))
    assert {NOW - 9: 0, NOW + 7: 3} == totals(file)


def test_what_a_read_finds_damaged_ends_the_recording_too(file: HistoryDatabase) -> None:
    """Otherwise a poll that does not change would have no row in the new file."""
    altered(file, "update seconds set total = 'x'")
    with pytest.raises(sqlite3.Error):
        totals(file)
    with pytest.raises(OSError, match="begun anew"):
        file.write("c1", HistoryBatch(spans=[(NOW, NOW + 9)]))
    file.write("c1", HistoryBatch([row(NOW + 9, 1)], spans=[(NOW + 9, NOW + 9)], only={MOOD}))
    assert {NOW + 9: 1} == totals(file)


def read_and_write(file: HistoryDatabase) -> None:
    totals(file)
    file.write("c1", HistoryBatch(only={MOOD}))


@pytest.mark.parametrize(
    "statement",
    [
        "update polls set id = cast(x'ff6d' as text)",
        "update seconds set total = 'x'",
        "update seconds set total = -1",
        "update seconds set options = x'ff'",
        "update seconds set options = 'x'",
        "update seconds set options = x'91920001c0'",
        "update spans set ended = 'x'",
        "update facts set value = 'x' where name = 'seconds'",
    ],
)
def test_values_that_cannot_be_ours_are_damage(statement: str, file: HistoryDatabase) -> None:
    altered(file, statement)
    with pytest.raises(sqlite3.Error):
        read_and_write(file)
    assert "damage" in file.problem
    assert Kept() == file.read("c1", MOOD, "seconds", 0, NOW), "it was begun anew"


def test_a_file_at_its_bound_loses_its_oldest_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = history_schema.SETTINGS.replace(str(history_schema.PAGES_MAX), str(PAGES))
    monkeypatch.setattr(history_schema, "SETTINGS", settings)
    monkeypatch.setattr(history_schema, "PAGES_MAX", PAGES)
    file, full = HistoryDatabase(tmp_path), list[int]()
    for second in range(150):
        rows = [row(NOW + second, 2**40, (f"p{place}", place)) for place in range(100)]
        try:
            minutes = [] if second else rows[:1]
            file.write("c1", HistoryBatch(rows, minutes, spans=[(NOW, NOW + second)]))
        except sqlite3.OperationalError:
            full.append(second)
    assert 0 < len(full) < 30, full
    assert "" == file.problem
    kept = file.read("c1", ("p7", 7), "seconds", 0, NOW * 2)
    assert kept.since is not None
    assert kept.since > NOW, "it says since when there are all"
    assert file.path.stat().st_size <= PAGES * history_schema.PAGE_BYTES
    file.close()


# ---- what the recorder makes of it ----------------------------------------------------------------------------------


@on_loop
async def test_readers_of_a_disk_that_hangs_pile_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await recorded(tmp_path)
    await node.pass_s(2)
    monkeypatch.setattr(recorder, "READ_S", 0.01)
    goes_on, write = threading.Event(), node.history._file.write

    def hang(*arguments: Any) -> None:
        goes_on.wait(20)
        write(*arguments)

    monkeypatch.setattr(node.history._file, "write", hang)
    try:
        for _ in range(20):
            await node.vote("happy")
            await node.pass_s()
            with pytest.raises(NotReady, match="the disk of this node's history does not answer"):
                await node.totals(1)
        assert node.history._thread._work_queue.qsize() <= 2
    finally:
        goes_on.set()
    monkeypatch.setattr(recorder, "READ_S", 20)
    assert [0, 1, 20] == await node.totals(2, 3, 22), "and what waited is there afterwards"
    await node.history.stop()


@on_loop
async def test_a_node_that_cannot_write_its_file_says_that_it_records_nothing(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.pass_s(2)
    assert [0] == await node.totals(2)
    assert node.history.status().recording
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    await node.pass_s(5)
    await until("the write has failed", lambda: node.history._writing is None)
    await node.pass_s()
    status = node.history.status()
    assert (False, True) == (status.recording, "directory" in status.problem)
    (tmp_path / NAME).rmdir()
    await node.pass_s(5)
    await until("it could write again", lambda: node.history.status().recording)
    await node.history.stop()


@on_loop
async def test_a_poll_that_does_not_change_is_in_the_file_that_takes_the_place(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.vote("happy")
    await node.pass_s(5)
    await until("it was written", lambda: node.history._writing is None)
    (tmp_path / NAME).unlink()
    await node.pass_s(5)
    await until("it was missed", lambda: node.history._writing is None)
    await node.pass_s(5)
    assert [None, None, 1] == await node.totals(3, 8, 15)
    await node.history.stop()
