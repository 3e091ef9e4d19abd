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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from quorate.config import Sqlite
from quorate.sinks import sqlite_causes as causes
from quorate.sinks.added_options import added_options, texts_in
from quorate.sinks.documents import (
    date_of,
    digest_of,
    fence_text,
    options_in,
    sort_manual_polls,
    stored_fence,
    unix_ms_of,
    written_among,
)
from quorate.sinks.fencing import LOWEST, MAY_WRITE, StoredDocument, deviates, judge, may_have_additions
from quorate.sinks.importable import REFRESH_S, ManualPoll, Unreadable
from quorate.sinks.manual_poll import read_manual_poll
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
# Only columns of ours are set. Columns that people added to the table stay as they are.
WRITE = """
insert into polls (id, title, state, options, results, total, write_ins, closes_at, updated, version, cluster, fence)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id) do update set title = excluded.title, state = excluded.state, options = excluded.options,
    results = excluded.results, total = excluded.total, write_ins = excluded.write_ins, closes_at = excluded.closes_at,
    updated = excluded.updated, version = excluded.version, cluster = excluded.cluster, fence = excluded.fence
"""
READ = "select id, title, state, options, results, version, updated, write_ins, closes_at from polls"
CONTENT = "title, state, options, results, total, write_ins, closes_at"
STORED = f"""
select cluster, polls.fence, {CONTENT}, digests.digest from polls
    left join digests on digests.id = polls.id and digests.fence = polls.fence where polls.id = ?
"""
BY_HAND = "select id, title, options, results, state from polls"
SIZES = """
select id, json_array_length(options) from polls
    where cluster = ? and fence <> ? and not write_ins and json_valid(options)
"""
NO_UTF8 = "\ufffd"  # stands in what is read for bytes that are no UTF-8: people write what the database allows
STEPS_PER_CLOCK_CHECK = 10_000  # steps of SQLite's virtual machine between two checks of the clock

_json = msgspec.json.Encoder().encode


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
                written[document.id] = _write(db, document, fence, cluster_id)
            return written

    def find(self, *, timeout_s: float) -> tuple[list[ManualPoll], list[Unreadable]]:
        with self._open(timeout_s) as db:
            return sort_manual_polls(map(_by_hand, db.execute(f"{BY_HAND} where cluster is null order by id")))

    def find_longer(self, sizes: Mapping[str, int], cluster_id: str, *, timeout_s: float) -> Mapping[str, list[str]]:
        with self._open(timeout_s) as db:
            stored = db.execute(SIZES, (cluster_id, str(LOWEST))).fetchall()
            longer = [id for id, size in stored if size > sizes.get(id, size)]
            rows = [db.execute("select id, options from polls where id = ?", (id,)).fetchone() for id in longer]
        return {row[0]: _texts(row[1]) for row in rows if row is not None}

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
            rows = db.execute(f"{READ} where cluster is not null order by id").fetchall()
        try:
            return {row[0]: _document(row) for row in rows}
        except (ValueError, TypeError) as error:
            raise SinkError(f"{self._path} holds a row of ours that was edited into nonsense: {error}") from error

    def deviations(self, written: Mapping[str, str | None], cluster_id: str, *, timeout_s: float) -> list[str]:
        with self._open(timeout_s) as db:
            return [id for id, fence in written.items() if deviates(_stored(db, id), fence, cluster_id)]

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


# ---- rows and documents ---------------------------------------------------------------------------------------------


def _write(db: sqlite3.Connection, document: PollDocument, fence: Fence, cluster_id: str) -> WriteOutcome:
    ledger, stored = _ledger(db, document.id, cluster_id), _stored(db, document.id, document.options)
    verdict = judge(document, fence, cluster_id, stored, ledger=ledger)
    if verdict in MAY_WRITE:
        options = own = _json(document.options).decode()
        if stored is not None and may_have_additions(document, stored):
            options = _with_additions(db, document, own)
        row = _row(document, options, fence, cluster_id)
        digest = digest_of(len(document.options), [*row[1:3], own, *row[4:8]])
        db.execute(WRITE, row)
        db.execute("insert or replace into written values (?, ?, ?)", (document.id, cluster_id, fence.generation))
        db.execute("insert or replace into digests values (?, ?, ?)", (document.id, str(fence), digest))
    return verdict


def _with_additions(db: sqlite3.Connection, document: PollDocument, options: str) -> str:
    stored: object = db.execute("select options from polls where id = ?", (document.id,)).fetchone()[0]
    if stored == options:
        return options
    with suppress(ValueError):
        options = _json([*document.options, *added_options(_parse(stored), document.options)]).decode()
    return options


def _stored(db: sqlite3.Connection, poll_id: str, own: Sequence[str] | None = None) -> StoredDocument | None:
    row = db.execute(STORED, (poll_id,)).fetchone()
    if row is None:
        return None
    cluster, fence, *content, digest = row
    if cluster is None:
        return StoredDocument(None, None, _by_hand(db.execute(f"{BY_HAND} where id = ?", (poll_id,)).fetchone()))
    return StoredDocument(cluster, fence_text(fence), edited=digest is not None and _is_edited(digest, content, own))


def _is_edited(digest: str, content: list[Any], own: Sequence[str] | None) -> bool:
    """Options that were added to those that were written are no edit, except in a write-in poll.

    `own` are those of the poll by now. Without them, only what was added behind is told from an edit.
    """
    written = options_in(digest)
    if digest_of(written, content) == digest:
        return False
    title, state, options, *others = content
    is_write_in = bool(others[2])
    with suppress(ValueError):
        if not is_write_in and isinstance(texts := _parse(options), list):
            as_written = _json(written_among(texts, written, own)).decode()
            return digest_of(written, [title, state, as_written, *others]) != digest
    return True


def _ledger(db: sqlite3.Connection, poll_id: str, cluster_id: str) -> int | None:
    """The generation in which this cluster last wrote the poll here."""
    row = db.execute("select generation from written where id = ? and cluster = ?", (poll_id, cluster_id)).fetchone()
    return None if row is None else int(row[0])


def _row(document: PollDocument, options: str, fence: Fence, cluster_id: str) -> tuple[Any, ...]:
    return (
        document.id,
        document.title,
        document.state,
        options,
        _json(document.results).decode(),
        document.total,
        int(document.write_ins),
        None if document.closes_at_ms is None else _moment(document.closes_at_ms),
        _moment(document.updated_ms),
        document.version,
        cluster_id,
        str(fence),
    )


def _document(row: tuple[Any, ...]) -> PollDocument:
    id, title, state, options, results, version, updated, write_ins, closes_at = row
    return PollDocument(
        id,
        title,
        msgspec.json.decode(options, type=list[str]),
        msgspec.json.decode(results, type=dict[str, int]),
        state,
        version or 0,
        _unix_ms(updated),
        bool(write_ins),
        None if closes_at is None else _unix_ms(closes_at),
    )


def _by_hand(row: tuple[Any, ...]) -> ManualPoll | Unreadable:
    id, title, options, results, state = row
    if NO_UTF8 in f"{id}{title}":
        return Unreadable(str(id), "its id or its title is no UTF-8")
    try:
        return read_manual_poll(id, title, _parse(options), _parse(results), state)
    except ValueError as error:
        return Unreadable(str(id), f"options and results must be JSON: {error}")


def _texts(options: object) -> list[str]:
    with suppress(ValueError):
        return texts_in(_parse(options))
    return []


def _parse(text: object) -> object:
    """Raises ValueError, in words, if the text is no JSON."""
    if not isinstance(text, str) or not text:
        return None
    if NO_UTF8 in text:
        raise ValueError("there are bytes that are no UTF-8")
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("there are too many lists in lists") from None


def _moment(unix_ms: int) -> str:
    return date_of(unix_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _unix_ms(moment: str | None) -> int:
    return unix_ms_of(datetime.fromisoformat(moment)) if moment else 0
