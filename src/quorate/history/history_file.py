"""The file of a node's history: an SQLite database in its data folder, used on one thread.

What is written together is there together, also after a crash. A file that is damaged, of another cluster or of another
format is removed and begun anew. Whatever happens to it is told, by `problem`, and raised as nothing but `OSError` or
`sqlite3.Error`.
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

from quorate.history import history_schema as sql
from quorate.history.measuring import Measured
from quorate.own_files import open_own

NAME = "history.db"
SECONDS_KEPT_S, MINUTES_KEPT_S = 3_600, 7 * 24 * 3_600
SPARE_S = 120  # kept beyond these, so that an answer begins with a whole step
ROWS_MAX = {"seconds": 360_000, "minutes": 1_000_000}
LEFT_OF_MAX = 0.9  # to which they are cut, so that this is not done all the time
SPANS_MAX = 5_000
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


class HistoryDatabase:
    def __init__(self, folder: Path, rows_max: dict[Table, int] | None = None) -> None:
        self.path = folder / NAME
        self.problem = ""
        self._rows_max = rows_max or dict(ROWS_MAX)
        self._db: sqlite3.Connection | None = None
        self._cluster = ""
        self._numbers: dict[PollKey, int] = {}

    # ---- what the thread calls --------------------------------------------------------------------------------------

    def write(self, cluster_id: str, batch: HistoryBatch) -> None:
        """Raises OSError or sqlite3.Error if nothing of it was written."""
        with self._opened(cluster_id) as db, _transaction(db):
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
            rows = [KeptRow(*row) for row in db.execute(sql.ROWS.format(table=table), where)]
            return Kept(rows, db.execute(sql.SPANS, (begin, end)).fetchall(), since)

    @property
    def bytes(self) -> int:
        with contextlib.suppress(OSError):
            return self.path.stat().st_size
        return 0

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
            if self._db is None or self._cluster != cluster_id:
                self.close()
                self._db, self._cluster = self._open(cluster_id), cluster_id
            yield self._db
            self.problem = ""
        except (sqlite3.Error, OSError) as error:
            self.close()
            if _is_damage(error):
                self._remove(f"it is damaged ({error})")
            self.problem = f"{self.path}: {error}"
            raise

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
        os.close(open_own(self.path, os.O_RDWR | os.O_CREAT))
        for beside in self._beside():
            if os.path.lexists(beside):
                os.close(open_own(beside, os.O_RDWR))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for setting in sql.SETTINGS.split(";"):
                db.execute(setting)
        except BaseException:
            db.close()
            raise
        return db

    def _beside(self) -> list[Path]:
        return [self.path.with_name(self.path.name + end) for end in ("-wal", "-shm")]

    def _remove(self, why: str) -> None:
        log.warning("%s is begun anew, without what was recorded before: %s", self.path, why)
        for path in (self.path, *self._beside()):
            path.unlink(missing_ok=True)

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
        rows: int = db.execute(f"select count(*) from {table}").fetchone()[0]
        if rows > (most := self._rows_max[table]):
            too_many = rows - int(most * LEFT_OF_MAX)
            before = max(before, db.execute(sql.NTH_TIME.format(table=table), (too_many,)).fetchone()[0])
        db.execute(sql.TRIM.format(table=table), {"before": before})
        db.execute(sql.WRITE_FACT, (table, before))
        db.execute("delete from spans where ended < ?", (now - MINUTES_KEPT_S - SPARE_S,))
        db.execute(
            "delete from spans where began <= (select began from spans order by began desc limit 1 offset ?)",
            (SPANS_MAX,),
        )


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
    return first if first is None or trimmed is None else max(first, trimmed[0])


def _is_damage(error: Exception) -> bool:
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    missing = isinstance(error, sqlite3.OperationalError) and code == sqlite3.SQLITE_ERROR  # a table, or a column
    return missing or (code is not None and code & 0xFF in DAMAGED)
