"""The file of a history: it is bounded, what is written together is there together, and damage makes it new."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from quorate.history import history_schema
from quorate.history.history_file import (
    MINUTES_KEPT_S,
    NAME,
    ROWS_MAX,
    SECONDS_KEPT_S,
    SPANS_MAX,
    SPARE_S,
    HistoryBatch,
    HistoryDatabase,
    Kept,
    KeptRow,
    PollKey,
    PollRow,
    Table,
)
from quorate.history.measuring import Measured, measure

NOW = 1_900_000_000
MOOD: PollKey = ("mood", 1)


def row(time: int, total: int, poll: PollKey = MOOD) -> PollRow:
    return PollRow(poll, time, measure([total]))


def totals(file: HistoryDatabase, poll: PollKey = MOOD, table: Table = "seconds", begin: int = 0) -> dict[int, int]:
    return {found.time: found.total for found in file.read("c1", poll, table, begin, NOW * 2).rows}


def written(folder: Path) -> HistoryDatabase:
    file = HistoryDatabase(folder)
    file.write("c1", HistoryBatch([row(NOW, 1), row(NOW + 2, 3)], [row(NOW, 1)], [(NOW, NOW + 5)]))
    return file


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    written(tmp_path).close()
    again = HistoryDatabase(tmp_path)
    assert Kept([KeptRow(NOW, *measure([1])), KeptRow(NOW + 2, *measure([3]))], [(NOW, NOW + 5)], NOW) == again.read(
        "c1", MOOD, "seconds", 0, NOW + 9
    )
    assert {NOW: 1} == totals(again, table="minutes")
    assert 0o600 == (tmp_path / NAME).stat().st_mode & 0o777
    again.close()


def test_an_answer_begins_with_the_last_row_before_it(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert {NOW: 1, NOW + 2: 3} == totals(file, begin=NOW + 1)
    assert {NOW + 2: 3} == totals(file, begin=NOW + 2)
    assert {} == totals(file, ("mood", 2))
    file.close()


def test_a_killed_node_leaves_whole_transactions(tmp_path: Path) -> None:
    """The files as they are at some moment: what a kill leaves, for nothing is held back in the process."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    file = written(live)
    shutil.copytree(live, copy)
    file.write("c1", HistoryBatch([row(NOW + 9, 9)], spans=[(NOW, NOW + 9)]))
    file.close()
    left = HistoryDatabase(copy)
    kept = left.read("c1", MOOD, "seconds", 0, NOW + 9)
    assert ([1, 3], [(NOW, NOW + 5)]) == ([each.total for each in kept.rows], kept.spans)
    left.close()


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 3 * history_schema.PAGE_BYTES + 100])


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[history_schema.PAGE_BYTES : 6 * history_schema.PAGE_BYTES] = b"\xa5" * (5 * history_schema.PAGE_BYTES)
    path.write_bytes(data)


def of_a_later_format(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 99")
    db.close()


def without_a_table(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("drop table minutes")
    db.close()


@pytest.mark.parametrize("harm", [garbage, cut_short, overwritten, of_a_later_format, without_a_table])
def test_a_file_that_is_of_no_use_is_told_and_begun_anew(
    harm: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path).close()
    harm(tmp_path / NAME)
    file = HistoryDatabase(tmp_path)
    with caplog.at_level(logging.WARNING):
        for attempt in range(2):  # damage may be met only by the second statement
            try:
                rows = [row(NOW + 20, 7)]
                file.write("c1", HistoryBatch(rows, rows, [(NOW + 20, NOW + 20)], only={MOOD}))
                break
            except sqlite3.Error:
                assert not attempt
    assert ({NOW + 20: 7}, {NOW + 20: 7}) == (totals(file), totals(file, table="minutes"))
    assert "" == file.problem
    assert "begun anew" in caplog.text
    file.close()


def test_damage_that_is_met_later_is_told_too(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.close()
    with sqlite3.connect(tmp_path / NAME) as other:
        other.execute("drop table seconds")
    other.close()
    with pytest.raises(sqlite3.Error):
        file.read("c1", MOOD, "seconds", 0, NOW)
    assert "no such table" in file.problem
    assert Kept() == file.read("c1", MOOD, "seconds", 0, NOW), "and the next one begins anew"
    file.close()


def test_an_emptied_file_is_a_new_one(tmp_path: Path) -> None:
    written(tmp_path).close()
    emptied(tmp_path / NAME)
    file = HistoryDatabase(tmp_path)
    assert {} == totals(file)
    file.close()


def test_the_history_of_another_cluster_goes(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert Kept() == file.read("c2", MOOD, "seconds", 0, NOW)
    file.close()


@pytest.mark.parametrize("name", [NAME, f"{NAME}-wal"])
def test_a_link_is_not_followed(name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / name).symlink_to(victim)
    file = HistoryDatabase(tmp_path)
    with pytest.raises(OSError, match="link"):
        file.write("c1", HistoryBatch(spans=[(NOW, NOW)]))
    assert ("mine", True) == (victim.read_text(), "link" in file.problem)
    file.close()


def test_a_write_that_fails_changes_nothing_and_the_next_one_may_succeed(tmp_path: Path) -> None:
    file = written(tmp_path)
    broken = PollRow(MOOD, NOW + 3, Measured(2**64, b""))  # no such number fits
    with pytest.raises(OverflowError):
        file.write("c1", HistoryBatch([row(NOW + 3, 4), broken], spans=[(NOW, NOW + 9)]))
    assert [(NOW, NOW + 5)] == file.read("c1", MOOD, "seconds", 0, NOW + 9).spans
    file.write("c1", HistoryBatch([row(NOW + 4, 5)]))
    assert {NOW: 1, NOW + 2: 3, NOW + 4: 5} == totals(file)
    file.close()


# ---- what goes ------------------------------------------------------------------------------------------------------


def test_a_deleted_poll_goes_and_one_that_has_its_name_later_stays(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write("c1", HistoryBatch([row(NOW + 3, 0, ("mood", 2))], deleted={"mood": 2}))
    assert ({}, {}, {NOW + 3: 0}) == (totals(file), totals(file, table="minutes"), totals(file, ("mood", 2)))
    file.write("c1", HistoryBatch([row(NOW + 4, 4, ("mood", 2))], deleted={"mood": None}))
    assert {} == totals(file, ("mood", 2)), "also what was recorded just before"
    file.close()


def test_polls_that_are_not_there_any_more_go(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write("c1", HistoryBatch([row(NOW, 5, ("other", 0))], only={MOOD}))
    assert ({NOW: 1, NOW + 2: 3}, {NOW: 5}) == (totals(file), totals(file, ("other", 0)))
    file.write("c1", HistoryBatch(only={("other", 0)}))
    assert ({}, {NOW: 5}) == (totals(file), totals(file, ("other", 0)))
    file.close()


def test_what_is_beyond_a_clock_that_was_set_back_goes(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write("c1", HistoryBatch(spans=[(NOW + 50, NOW + 60)], trim=[("seconds", NOW + 10**7)]))
    file.write("c1", HistoryBatch([row(NOW + 1, 2)], spans=[(NOW + 1, NOW + 3)], forget_after=NOW + 1))
    kept = file.read("c1", MOOD, "seconds", 0, NOW + 90)
    assert ([(NOW + 1, 2)], [(NOW + 1, NOW + 3)]) == ([each[:2] for each in kept.rows][-1:], list(kept.spans)[-1:])
    assert kept.since is not None
    assert kept.since <= NOW + 1
    file.close()


@pytest.mark.parametrize(("table", "kept_s"), [("seconds", SECONDS_KEPT_S), ("minutes", MINUTES_KEPT_S)])
def test_old_rows_go_but_for_the_last_of_each_poll(table: Table, kept_s: int, tmp_path: Path) -> None:
    """A poll that does not change has no newer row, and still has a value."""
    file, first = HistoryDatabase(tmp_path), NOW - kept_s - SPARE_S
    rows = [row(first - 30, 1), row(first - 10, 2), row(first + 5, 3), row(first - 900, 8, ("quiet", 0))]
    batch = HistoryBatch(spans=[(first - 900, NOW)], trim=[(table, NOW)])
    getattr(batch, table).extend(rows)
    file.write("c1", batch)
    assert {first - 10: 2, first + 5: 3} == totals(file, table=table)
    assert {first - 900: 8} == totals(file, ("quiet", 0), table=table)
    assert first == file.read("c1", MOOD, table, 0, NOW).since
    file.close()


def test_too_many_rows_lose_the_oldest_of_all_polls(tmp_path: Path) -> None:
    file = HistoryDatabase(tmp_path, {"seconds": 100, "minutes": 100})
    rows = [row(NOW + second, second, (f"p{poll}", 0)) for second in range(20) for poll in range(10)]
    file.write("c1", HistoryBatch(rows, spans=[(NOW, NOW + 19)], trim=[("seconds", NOW + 19)]))
    kept = file.read("c1", ("p3", 0), "seconds", NOW, NOW + 19)
    assert list(range(NOW + 11, NOW + 20)) == [each.time for each in kept.rows]
    assert NOW + 11 == kept.since
    file.close()


def test_a_node_that_starts_all_the_time_keeps_a_bounded_number_of_spans(tmp_path: Path) -> None:
    file = HistoryDatabase(tmp_path)
    spans = [(NOW + 10 * start, NOW + 10 * start + 1) for start in range(SPANS_MAX + 50)]
    file.write("c1", HistoryBatch(spans=spans, trim=[("seconds", NOW)]))
    kept = file.read("c1", MOOD, "seconds", 0, NOW * 2)
    assert spans[50][0] == kept.since
    file.close()


def test_a_full_history_of_10000_polls_is_within_its_bound_on_disk(tmp_path: Path) -> None:
    """All rows that may be there, by the size of some: those of polls that all change, with ten options of millions."""
    file = HistoryDatabase(tmp_path)
    measured = measure([5_000_000 + option for option in range(10)])
    polls, times = 10_000, 6
    for time in range(times):
        rows = [PollRow((f"a-poll-with-some-name-{poll}", poll), NOW + time, measured) for poll in range(polls)]
        file.write("c1", HistoryBatch(rows, spans=[(NOW, NOW + time)]))
    file.close()
    names = polls * 100
    a_row = ((tmp_path / NAME).stat().st_size - names) / (polls * times)
    assert sum(ROWS_MAX.values()) * a_row + names < history_schema.PAGES_MAX * history_schema.PAGE_BYTES
    with sqlite3.connect(tmp_path / NAME) as db:
        assert history_schema.PAGE_BYTES == db.execute("pragma page_size").fetchone()[0]
    db.close()
