"""The file of a node's history: an SQLite database in its data folder, used on one thread.

What is written together is there together, also after a crash. A file that is damaged, of another cluster or of another
format is removed and begun anew, also while it is in use. Whatever happens to it is told, by `problem`, and raised as
nothing but `OSError` or `sqlite3.Error`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from quorate.history import history_schema as sql
from quorate.history.measuring import Measured, decode_options
from quorate.own_files import open_own

NAME = "history.db"
SECONDS_KEPT_S, MINUTES_KEPT_S = 3_600, 7 * 24 * 3_600
SPARE_S = 120  # kept beyond these, so that an answer begins with a whole step
ROWS_MAX = {"seconds": 360_000, "minutes": 1_000_000}
LEFT_OF_MAX = 0.9  # to which they are cut, so that this is not done all the time
SPANS_MAX = 5_000
PAGES_FULL = 0.9  # of PAGES_MAX: if there is no room then, it is the file that is full, and not the disk
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Table = Literal["seconds", "minutes"]
TABLES: tuple[Table, ...] = ("seconds", "minutes")
PollKey = tuple[str, int]  # the id, and the number of its creation
Span = tuple[int, int]  # the first and the last second

log = logging.getLogger(__name__)


class PollRow(NamedTuple):
    poll: PollKey
    time: int
    measured: Measured


class KeptRow(NamedTuple):
    time: int
    total: int
    options: bytes


@dataclass(slots=True)
class HistoryBatch:
    """What is written together.

    First goes what is from the second `forget_after` on, and all polls but `only`; last the polls of the names
    `deleted`, but for the one that has the name now, by the number of its creation.
    """

    seconds: list[PollRow] = field(default_factory=list)
    minutes: list[PollRow] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    deleted: dict[str, int | None] = field(default_factory=dict)
    only: set[PollKey] | None = None
    forget_after: int | None = None
    trim: list[tuple[Table, int]] = field(default_factory=list)  # with the present time


@dataclass(slots=True)
class Kept:
    """What the file has of a poll. Before `since` there may have been rows that are gone."""

    rows: Sequence[KeptRow] = ()
    spans: Sequence[Span] = ()
    since: int | None = None  # None: nothing was recorded yet


class DamagedHistory(sqlite3.DatabaseError):
    """A value is none that we write."""


class HistoryDatabase:
    def __init__(self, folder: Path, rows_max: dict[Table, int] | None = None) -> None:
        self.path = folder / NAME
        self.problem = ""
        self._log = self.path.with_name(f"{NAME}-wal")
        self._rows_max = rows_max or dict(ROWS_MAX)
        self._db: sqlite3.Connection | None = None
        self._inode = (0, 0)  # of the file that is open
        self._cluster = ""
        self._why_anew = ""  # it was begun anew, and no batch that begins a span came since
        self._numbers: dict[PollKey, int] = {}

    # ---- what the thread calls --------------------------------------------------------------------------------------

    def write(self, cluster_id: str, batch: HistoryBatch) -> None:
        """Raises OSError or sqlite3.Error if nothing of it was written.

        A file that was begun anew lacks the rows of polls that did not change. So it takes nothing until a batch comes
        that begins a span, which is followed by a row of each poll.
        """
        with self._opened(cluster_id) as db:
            if self._why_anew and batch.only is None:
                raise OSError(f"it is begun anew, without what was recorded before: {self._why_anew}")
            try:
                self._write(db, batch)
            except sqlite3.OperationalError as error:
                if _code(error) == sqlite3.SQLITE_FULL:
                    self._make_room(db)
                raise
        self._why_anew = ""

    def _write(self, db: sqlite3.Connection, batch: HistoryBatch) -> None:
        with _transaction(db):
            self._clear(db, batch)
            for table, rows in (("seconds", batch.seconds), ("minutes", batch.minutes)):
                numbered = [(self._number(db, poll), time, *measured) for poll, time, measured in rows]
                db.executemany(sql.WRITE.format(table=table), numbered)
            db.executemany(sql.WRITE_SPAN, batch.spans)
            for id, creation in batch.deleted.items():
                self._forget(db, db.execute(sql.OTHERS_OF_NAME, (id, creation)).fetchall())
            for table, now in batch.trim:
                self._trim(db, table, now)

    def read(self, cluster_id: str, poll: PollKey, table: Table, begin: int, end: int) -> Kept:
        """The rows and spans that say what the poll had from `begin` to `end`."""
        with self._opened(cluster_id) as db:
            since = _since(db, table)
            found = db.execute(sql.NUMBER, poll).fetchone()
            if since is None or found is None:
                return Kept(since=since)
            where = {"poll": found[0], "from": begin, "to": end}
            rows = [_checked(KeptRow(*row)) for row in db.execute(sql.ROWS.format(table=table), where)]
            spans = db.execute(sql.SPANS, (begin, end)).fetchall()
            return Kept(rows, [(began, _number(ended)) for began, ended in spans], since)

    @property
    def bytes(self) -> int:
        """On disk, with what is not yet in the database itself."""
        found = 0
        for path in (self.path, self._log):
            with contextlib.suppress(OSError):
                found += path.stat().st_size
        return found

    def close(self) -> None:
        """Idempotent."""
        db, self._db = self._db, None
        self._numbers.clear()
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    # ---- opening, and what is damaged -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, cluster_id: str) -> Iterator[sqlite3.Connection]:
        try:
            if self._db is not None and not self._is_in_place():
                self.close()
                self._log.unlink(missing_ok=True)  # SQLite would add it to the other file
                self._tell_anew("it was removed, or another file is in its place")
            if self._db is None or self._cluster != cluster_id:
                self.close()
                self._db, self._cluster = self._open(cluster_id), cluster_id
            yield self._db
            self.problem = ""
        except (sqlite3.Error, OSError) as error:
            self.close()
            self.problem = f"{self.path}: {error}"
            if _is_damage(error):
                self._remove(why := f"it is damaged ({error})")
                self.problem = f"{self.path}: {why}"
            raise

    def _is_in_place(self) -> bool:
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            return self._inode == (found.st_dev, found.st_ino)
        return False

    def _open(self, cluster_id: str) -> sqlite3.Connection:
        try:
            db = self._connect()
            why = _why_useless(db, cluster_id)
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise
            db, why = None, f"it is damaged ({error})"
        if why is None and db is not None:
            return db
        if db is not None:
            db.close()
        if why:
            self._remove(why)
        db = self._connect()
        with _transaction(db):
            for statement in sql.SCHEMA.split(";"):
                db.execute(statement)
            db.execute(sql.WRITE_FACT, ("cluster", cluster_id))
        return db

    def _connect(self) -> sqlite3.Connection:
        file = open_own(self.path, os.O_RDWR | os.O_CREAT)
        found = os.fstat(file)
        os.close(file)
        self._inode = (found.st_dev, found.st_ino)
        if os.path.lexists(self._log):
            os.close(open_own(self._log, os.O_RDWR))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for setting in sql.SETTINGS.split(";"):
                db.execute(setting)
        except BaseException:
            db.close()
            raise
        return db

    def _remove(self, why: str) -> None:
        self._tell_anew(why)
        for path in (self.path, self._log):
            path.unlink(missing_ok=True)

    def _tell_anew(self, why: str) -> None:
        log.warning("%s is begun anew, without what was recorded before: %s", self.path, why)
        self._why_anew = why

    # ---- rows -------------------------------------------------------------------------------------------------------

    def _number(self, db: sqlite3.Connection, poll: PollKey) -> int:
        number = self._numbers.get(poll)
        if number is None:
            found = db.execute(sql.NUMBER, poll).fetchone()
            number = self._numbers[poll] = int(found[0] if found else db.execute(sql.ADD_POLL, poll).lastrowid or 0)
        return number

    def _clear(self, db: sqlite3.Connection, batch: HistoryBatch) -> None:
        if batch.forget_after is not None:
            for statement in sql.FORGET_AFTER:
                db.execute(statement, {"now": batch.forget_after})
        if batch.only is not None:
            known = db.execute("select number, id, creation from polls").fetchall()
            self._forget(db, [(number,) for number, id, creation in known if (id, creation) not in batch.only])

    def _forget(self, db: sqlite3.Connection, gone: Sequence[tuple[int]]) -> None:
        if gone:
            self._numbers.clear()
            for table in TABLES:
                db.executemany(f"delete from {table} where poll = ?", gone)
            db.executemany("delete from polls where number = ?", gone)

    def _trim(self, db: sqlite3.Connection, table: Table, now: int) -> None:
        before = now - (SECONDS_KEPT_S if table == "seconds" else MINUTES_KEPT_S) - SPARE_S
        if _rows_in(db, table) > (most := self._rows_max[table]):
            before = max(before, _oldest_of(db, table, int(most * LEFT_OF_MAX)))
        _drop(db, table, before)
        db.execute("delete from spans where ended < ?", (now - MINUTES_KEPT_S - SPARE_S,))
        db.execute(
            "delete from spans where began <= (select began from spans order by began desc limit 1 offset ?)",
            (SPANS_MAX,),
        )

    def _make_room(self, db: sqlite3.Connection) -> None:
        """The oldest rows go, if the file has all the pages that it may have."""
        if db.execute("pragma page_count").fetchone()[0] < sql.PAGES_MAX * PAGES_FULL:
            return
        with contextlib.suppress(sqlite3.Error), _transaction(db):
            for table in TABLES:
                if (rows := _rows_in(db, table)) > 1:
                    _drop(db, table, _oldest_of(db, table, int(rows * LEFT_OF_MAX)))


def _rows_in(db: sqlite3.Connection, table: Table) -> int:
    found: int = db.execute(f"select count(*) from {table}").fetchone()[0]
    return found


def _oldest_of(db: sqlite3.Connection, table: Table, rows: int) -> int:
    """The time of the oldest of the newest rows."""
    found: int = db.execute(sql.NTH_TIME.format(table=table), (_rows_in(db, table) - rows,)).fetchone()[0]
    return found


def _drop(db: sqlite3.Connection, table: Table, before: int) -> None:
    db.execute(sql.TRIM.format(table=table), {"before": before})
    db.execute(sql.WRITE_FACT, (table, before))


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("begin immediate")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("rollback")
        raise
    db.execute("commit")


def _why_useless(db: sqlite3.Connection, cluster_id: str) -> str | None:
    """Why the file has to be begun anew, in words; "" if it is new, and None if it can be used."""
    format = db.execute("pragma user_version").fetchone()[0]
    if format == 0 and not db.execute("select count(*) from sqlite_master").fetchone()[0]:
        return ""
    if format != sql.FORMAT:
        return f"it has format {format}, and this version of Quorate writes {sql.FORMAT}"
    if (found := db.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
        return f"it is damaged ({found})"
    if db.execute("select value from facts where name = 'cluster'").fetchone() != (cluster_id,):
        return "it is of another cluster"
    return None


def _since(db: sqlite3.Connection, table: Table) -> int | None:
    """Since when all is there that was recorded."""
    first: int | None = db.execute("select min(began) from spans").fetchone()[0]
    trimmed = db.execute("select value from facts where name = ?", (table,)).fetchone()
    return first if first is None or trimmed is None else max(first, _number(trimmed[0]))


def _checked(row: KeptRow) -> KeptRow:
    try:
        decode_options(row.options)
    except (msgspec.DecodeError, TypeError) as error:
        raise DamagedHistory(f"the options of a row: {error}") from None
    if _number(row.total) < 0:
        raise DamagedHistory(f"a total is {row.total}")
    return row


def _number(found: object) -> int:
    if not isinstance(found, int):
        raise DamagedHistory(f"a number is {found!r:.40}")
    return found


def _is_damage(error: Exception) -> bool:
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = _code(error)
    if isinstance(error, sqlite3.OperationalError):
        missing = code == sqlite3.SQLITE_ERROR  # a table, or a column
        return missing or code is None or code & 0xFF in DAMAGED  # None: Python cannot read a text
    return isinstance(error, DamagedHistory) or (code is not None and code & 0xFF in DAMAGED)


def _code(error: sqlite3.Error) -> int | None:
    return getattr(error, "sqlite_errorcode", None)
