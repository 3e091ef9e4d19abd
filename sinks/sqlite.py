"""The embedded sink: one SQLite file that people, and all nodes of one host, can open.

Each write is one transaction, begun with BEGIN IMMEDIATE: no other node can write between the check of a stored row and
its replacement. It is synced before it returns (WAL, synchronous=FULL). Polls are rows of `polls`, with options and
results as JSON. The view `tally` has a row for each option. A row without a cluster was put there by hand:

    insert into polls (id, title, options) values ('mood', 'How are you?', '["happy", "sad"]');

The file is opened when it is first needed. After any failure it is closed, and the next call opens it again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from quorate.config import Sqlite
from quorate.sinks import sqlite_causes as causes
from quorate.sinks import sqlite_rows as rows
from quorate.sinks.auditable import FoundDocument
from quorate.sinks.documents import (
    sort_manual_polls,
    stored_fence,
)
from quorate.sinks.fencing import (
    LOWEST,
    deviates,
)
from quorate.sinks.importable import REFRESH_S, ManualPoll, Unreadable
from quorate.sinks.sink import Fence, PollDocument, SinkError, WriteOutcome

FORMAT = 1
SCHEMA = f"""
create table if not exists polls (
    id text primary key not null,
    title text not null default '',
    state text not null default 'open',
    options text not null,
    results text not null default '{{}}',
    total integer not null default 0,
    write_ins integer not null default 0,
    closes_at text,
    updated text,
    version integer,
    cluster text,
    fence text
);
create view if not exists tally (poll, option, votes) as
    select polls.id, counts.key, counts.value from polls, json_each(polls.results) as counts;
create table if not exists written (id text primary key not null, cluster text not null, generation integer not null)
    without rowid;
pragma user_version = {FORMAT};
"""
# The digest of each document, with the fence under which it was written. It is no column of `polls`, because nodes of
# 0.1.0 would leave an old digest beside what they write.
DIGESTS = """
create table if not exists digests (id text primary key not null, fence text not null, digest text not null)
    without rowid
"""
# The last creation of each poll, and whether it was deleted. It belongs to `written`, which nodes of 0.1.0 know. A poll
# that 0.1.0 created has number 0 and, until it is deleted, no row.
CREATIONS = """
create table if not exists creations (
    id text primary key not null, cluster text not null, creation integer not null, deleted integer not null
) without rowid
"""
STEPS_PER_CLOCK_CHECK = 10_000  # steps of SQLite's virtual machine between two checks of the clock


def make_sink(settings: Sqlite) -> SqliteSink:
    return SqliteSink(settings.path)


class SqliteSink:
    name = "sqlite"

    def __init__(self, path: str | Path, *, refresh_s: float = REFRESH_S) -> None:
        self.refresh_s = refresh_s
        self._path = Path(path)
        self._lock = threading.Lock()  # two threads call: the flusher's, and that of `sink adopt`
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # device and inode of the open file
        self._data_version: int | None = None  # at the last call of `touched`; None after an error
        self._closed = False

    # ---- the Protocol -----------------------------------------------------------------------------------------------

    def write(
        self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> dict[str, WriteOutcome]:
        deadline_s = time.monotonic() + timeout_s
        with self._transaction(timeout_s) as db:
            written = {}
            for document in documents:
                if time.monotonic() > deadline_s:
                    raise SinkError(causes.late(self._path, timeout_s))
                written[document.id] = rows.write(db, document, fence, cluster_id)
            return written

    def find(self, *, timeout_s: float) -> tuple[list[ManualPoll], list[Unreadable]]:
        with self._open(timeout_s) as db:
            return sort_manual_polls(map(rows.by_hand, db.execute(f"{rows.BY_HAND} where cluster is null order by id")))

    def find_longer(self, sizes: Mapping[str, int], cluster_id: str, *, timeout_s: float) -> Mapping[str, list[str]]:
        with self._open(timeout_s) as db:
            stored = db.execute(rows.SIZES, (cluster_id, str(LOWEST))).fetchall()
            longer = [id for id, size in stored if size > sizes.get(id, size)]
            found = [db.execute("select id, options from polls where id = ?", (id,)).fetchone() for id in longer]
        return {row[0]: rows.texts(row[1]) for row in found if row is not None}

    def touched(self, *, timeout_s: float) -> bool:
        with self._open(timeout_s) as db:
            # The number changes when another connection commits, never by our own writes.
            version: int = db.execute("pragma data_version").fetchone()[0]
            before, self._data_version = self._data_version, version
            return before is not None and before != version

    def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
        with self._open(timeout_s) as db:
            row = db.execute(
                "select cluster, fence from polls where cluster <> ? order by fence desc limit 1", (cluster_id,)
            ).fetchone()
            return None if row is None else (row[0], stored_fence(row[1]))

    def adopt(self, cluster_id: str, *, timeout_s: float) -> int:
        with self._transaction(timeout_s) as db:
            return db.execute(
                "update polls set cluster = ?, fence = ? where cluster <> ?", (cluster_id, str(LOWEST), cluster_id)
            ).rowcount

    def read(self, *, timeout_s: float) -> dict[str, PollDocument]:
        with self._open(timeout_s) as db:
            found = db.execute(f"{rows.READ} where {rows.IS_WRITTEN} order by id").fetchall()
        try:
            return {row[0]: rows.document_of(row) for row in found}
        except (ValueError, TypeError) as error:
            raise SinkError(f"{self._path} holds a row of ours that was edited into nonsense: {error}") from error

    def deviations(self, written: Mapping[str, str | None], cluster_id: str, *, timeout_s: float) -> list[str]:
        with self._open(timeout_s) as db:
            return [id for id, fence in written.items() if deviates(rows.stored_at(db, id), fence, cluster_id)]

    def look_at(self, polls: Mapping[str, Sequence[str]], *, timeout_s: float) -> dict[str, FoundDocument]:
        with self._open(timeout_s) as db:
            found = {id: rows.found_at(db, id, own) for id, own in polls.items()}
        return {id: document for id, document in found.items() if document is not None}

    def ids_of(self, cluster_id: str, *, timeout_s: float) -> list[str]:
        with self._open(timeout_s) as db:
            return [id for (id,) in db.execute(rows.IDS, (cluster_id, str(LOWEST)))]

    def mark_deleted(
        self, polls: Mapping[str, int], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> Collection[str]:
        with self._transaction(timeout_s) as db:
            return [id for id, creation in polls.items() if rows.mark_deleted(db, id, creation, fence, cluster_id)]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._disconnect()

    # ---- the connection ---------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, timeout_s: float) -> Iterator[sqlite3.Connection]:
        with self._open(timeout_s) as db:
            db.execute("begin immediate")
            yield db
            db.execute("commit")

    @contextmanager
    def _open(self, timeout_s: float) -> Iterator[sqlite3.Connection]:
        """The connection, for this caller alone, until its deadline. Its errors become `SinkError`."""
        deadline_s = time.monotonic() + timeout_s
        if not self._lock.acquire(timeout=timeout_s):
            raise SinkError(f"{self._path} was busy for {timeout_s:g} s with another call of this node")
        try:
            if self._closed:
                raise SinkError(f"{self._path} is closed: this node is stopping")
            db = self._connect(deadline_s)
            yield db
        except sqlite3.Error as error:
            self._disconnect()
            raise SinkError(causes.in_words(error, self._path, timeout_s)) from error
        except OSError as error:
            self._disconnect()
            raise SinkError(causes.of_system(error, self._path)) from error
        except BaseException:
            self._disconnect()
            raise
        finally:
            self._lock.release()

    def _connect(self, deadline_s: float) -> sqlite3.Connection:
        if self._db is not None and self._identity() != self._file:
            raise SinkError(f"{self._path} was removed or replaced while it was open; it is opened anew")
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._db.text_factory = lambda text: text.decode(errors="replace")
            _bound(self._db, deadline_s)
            self._prepare(self._db, deadline_s)
            self._file = self._identity()
        else:
            _bound(self._db, deadline_s)
        return self._db

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _prepare(self, db: sqlite3.Connection, deadline_s: float) -> None:
        found: int = db.execute("pragma user_version").fetchone()[0]
        if found > FORMAT:
            raise SinkError(f"{self._path} is of format {found}, made by a newer Quorate; this one knows {FORMAT}")
        mode = _to_wal(db, deadline_s)
        if mode != "wal":
            raise SinkError(f"{self._path} cannot be in WAL mode here ({mode}); put it on a local disk")
        db.execute("pragma synchronous = full")
        if not found:
            db.executescript(f"begin immediate; {SCHEMA} commit;")
        db.execute(DIGESTS)
        db.execute(CREATIONS)

    def _disconnect(self) -> None:
        db, self._db, self._file, self._data_version = self._db, None, None, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()  # rolls back what is not committed


def _bound(db: sqlite3.Connection, deadline_s: float) -> None:
    """The deadline ends both a wait for locks and a statement that runs too long."""
    left_ms = max(1, int((deadline_s - time.monotonic()) * 1000))
    late: Callable[[], int] = lambda: time.monotonic() > deadline_s  # noqa: E731
    db.set_progress_handler(late, STEPS_PER_CLOCK_CHECK)
    db.execute(f"pragma busy_timeout = {left_ms}")


def _to_wal(db: sqlite3.Connection, deadline_s: float) -> str:
    """Switch to WAL. SQLite does not wait for locks here, and another node may be opening the file: so try again."""
    while True:
        try:
            mode: str = db.execute("pragma journal_mode = wal").fetchone()[0]
            return mode
        except sqlite3.OperationalError as error:
            if not causes.code(error).startswith("SQLITE_BUSY") or time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)
