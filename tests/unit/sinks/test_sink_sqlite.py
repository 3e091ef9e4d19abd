"""What the SQLite sink alone does: a file that is locked, damaged, foreign or gone is reported in words, in time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quorate.sinks.sink import Fence, PollDocument, SinkError, WriteOutcome
from quorate.sinks.sqlite import SqliteSink
from tests.unit.sinks.sink_stores import SqliteStore

MOOD = PollDocument("mood", "How are you?", ["happy", "sad"], {"happy": 3, "sad": 1}, "open", 7, 1_700_000_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ballots.db"


@pytest.fixture
def sink(path: Path) -> Iterator[SqliteSink]:
    sink = SqliteSink(path)
    yield sink
    sink.close()


def write(sink: SqliteSink, version: int, timeout_s: float = 10.0) -> dict[str, WriteOutcome]:
    return sink.write([MOOD], Fence(0, 1, version), "c1", timeout_s=timeout_s)


def test_the_view_shows_a_row_for_each_option(sink: SqliteSink, path: Path) -> None:
    odd = PollDocument("odd", "", ["a.b", 'q"\\', "💚"], {"a.b": 1, 'q"\\': 2, "💚": 3}, "open", 1, 0)
    sink.write([MOOD, odd], Fence(0, 1, 1), "c1", timeout_s=10)
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("select option, votes from tally where poll = 'odd'").fetchall()
    assert [("a.b", 1), ('q"\\', 2), ("💚", 3)] == rows


def test_every_write_is_synced(sink: SqliteSink, path: Path) -> None:
    write(sink, 1)
    assert sink._db is not None
    assert (2,) == sink._db.execute("pragma synchronous").fetchone()
    assert ("wal",) == sink._db.execute("pragma journal_mode").fetchone()


def test_a_locked_file_is_refused_by_the_deadline_and_taken_afterwards(sink: SqliteSink, path: Path) -> None:
    write(sink, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(SinkError, match="is locked by another program"):
            write(sink, 2, timeout_s=0.2)
        other.execute("commit")
    assert {"mood": WriteOutcome.WRITTEN} == write(sink, 2)


def test_a_statement_that_runs_on_is_ended_by_the_deadline(sink: SqliteSink) -> None:
    with pytest.raises(SinkError, match="did not take it within"), sink._open(0.1) as db:
        db.execute("with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n").fetchone()
    assert {"mood": WriteOutcome.WRITTEN} == write(sink, 1)


@pytest.mark.parametrize("damage", [b"this is no database" * 100, b"\0" * 8192 + b"x"])
def test_a_damaged_file_says_what_to_do(sink: SqliteSink, path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(SinkError, match=r"is damaged .* move it away"):
        write(sink, 1)
    path.unlink()
    assert {"mood": WriteOutcome.WRITTEN} == write(sink, 1)


def test_a_file_removed_while_open_is_noticed_and_made_again(sink: SqliteSink, path: Path) -> None:
    write(sink, 1)
    for name in (path, path.with_name("ballots.db-wal"), path.with_name("ballots.db-shm")):
        name.unlink(missing_ok=True)
    with pytest.raises(SinkError, match="was removed or replaced"):
        write(sink, 2)
    assert {"mood": WriteOutcome.WRITTEN} == write(sink, 2)
    assert 7 == sink.read(timeout_s=10)["mood"].version


def test_a_table_of_others_is_not_touched(sink: SqliteSink, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("create table polls (id, question)")
    with pytest.raises(SinkError, match="not ours"):
        write(sink, 1)


def test_a_file_of_a_newer_format_is_refused(sink: SqliteSink, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("pragma user_version = 2")
    with pytest.raises(SinkError, match="made by a newer Quorate"):
        write(sink, 1)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be used"):
        write(SqliteSink(tmp_path / "file" / "ballots.db"), 1)


def test_results_edited_into_nonsense_are_said(sink: SqliteSink, path: Path) -> None:
    write(sink, 1)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("""update polls set results = '{"happy": "many"}'""")
    with pytest.raises(SinkError, match="edited into nonsense"):
        sink.read(timeout_s=10)


def test_a_poll_inserted_by_another_program_is_noticed(sink: SqliteSink, path: Path) -> None:
    write(sink, 1)
    assert not sink.touched(timeout_s=10), "the first call has nothing to compare with"
    write(sink, 2)
    assert not sink.touched(timeout_s=10), "our own write"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("""insert into polls (id, options) values ('tea', '["yes", "no"]')""")
    assert sink.touched(timeout_s=10)
    assert not sink.touched(timeout_s=10)


def test_a_closed_sink_answers_an_error(sink: SqliteSink) -> None:
    write(sink, 1)
    sink.close()
    with pytest.raises(SinkError, match="is closed"):
        write(sink, 2)


def test_nodes_that_write_at_once_take_turns(path: Path) -> None:
    """Two leaders of two terms on one file: nothing fails, and the newer term stands at the end."""
    sinks = {term: SqliteSink(path) for term in (1, 2)}
    failed: list[BaseException] = []

    def lead(term: int) -> None:
        try:
            for version in range(1, 31):
                counted = PollDocument("mood", "", ["a"], {"a": version + 100 * term}, "open", version, 0)
                sinks[term].write([counted], Fence(0, term, version), "c1", timeout_s=30)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=lead, args=(term,)) for term in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [] == failed
    assert {"a": 230} == sinks[1].read(timeout_s=10)["mood"].results
    for sink in sinks.values():
        sink.close()


def test_a_fence_that_is_edited_into_no_text_is_lower_than_every_other(sink: SqliteSink, path: Path) -> None:
    write(sink, 1)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("update polls set fence = x'ff'")
    assert {"mood": WriteOutcome.WRITTEN} == write(sink, 2)


@pytest.mark.parametrize("title", ["fine", b"\xff"])
def test_an_id_of_any_length_is_told_in_few_words(tmp_path: Path, title: str | bytes) -> None:
    store = SqliteStore(tmp_path / "ballots.db")
    store.insert("mood", options=["a", "b"])
    store.run("update polls set id = ?, title = cast(? as text), options = 'none'", ["x" * 1_000_000, title])
    _, [unreadable] = store.sink().find(timeout_s=10)
    assert len(unreadable.id) < 200
    store.close()
