"""The rows of the SQLite sink: how a poll is written, read and marked as deleted, in a transaction of the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from quorate.sinks.added_options import added_options, texts_in
from quorate.sinks.auditable import FoundDocument
from quorate.sinks.deletable import DELETED
from quorate.sinks.documents import (
    date_of,
    digest_of,
    fence_text,
    options_in,
    unix_ms_of,
    written_among,
)
from quorate.sinks.fencing import MAY_WRITE, LedgerRow, StoredDocument, generation_of, judge, may_have_additions
from quorate.sinks.importable import ManualPoll, Unreadable
from quorate.sinks.manual_poll import read_manual_poll, unreadable
from quorate.sinks.sink import Fence, PollDocument, WriteOutcome

# Only columns of ours are set. Columns that people added to the table stay as they are.
WRITE = """
insert into polls (id, title, state, options, results, total, write_ins, closes_at, updated, version, cluster, fence)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id) do update set title = excluded.title, state = excluded.state, options = excluded.options,
    results = excluded.results, total = excluded.total, write_ins = excluded.write_ins, closes_at = excluded.closes_at,
    updated = excluded.updated, version = excluded.version, cluster = excluded.cluster, fence = excluded.fence
"""
READ = "select id, title, state, options, results, version, updated, write_ins, closes_at from polls"
# A hand-made document that was only marked as deleted has no version.
IS_WRITTEN = f"cluster is not null and not (state = '{DELETED}' and version is null)"
CONTENT = "title, state, options, results, total, write_ins, closes_at"
STORED = f"""
select polls.cluster, polls.fence, coalesce(creations.creation, 0), {CONTENT}, digests.digest from polls
    left join digests on digests.id = polls.id and digests.fence = polls.fence
    left join creations on creations.id = polls.id and creations.cluster = polls.cluster where polls.id = ?
"""
LEDGER = """
select (select generation from written where id = ?1 and cluster = ?2), creation, deleted
    from (select ?1 as id) left join creations on creations.id = ?1 and creations.cluster = ?2
"""
MARK = f"""
update polls set state = '{DELETED}', cluster = ?2, fence = ?3
    where id = ?1 and (cluster is null or (cluster = ?2 and fence <= ?3))
"""
BY_HAND = "select id, title, options, results, state from polls"
SIZES = f"""
select id, json_array_length(options) from polls
    where cluster = ? and fence <> ? and not write_ins and json_valid(options) and state <> '{DELETED}'
"""
IDS = f"select id from polls where cluster = ? and fence <> ? and state <> '{DELETED}'"
NO_UTF8 = "\ufffd"  # stands in what is read for bytes that are no UTF-8: people write what the database allows

_json = msgspec.json.Encoder().encode


def write(db: sqlite3.Connection, document: PollDocument, fence: Fence, cluster_id: str) -> WriteOutcome:
    row, stored = _ledger(db, document.id, cluster_id), stored_at(db, document.id, document.options)
    verdict = judge(document, fence, cluster_id, stored, ledger=generation_of(row, document, fence))
    if verdict in MAY_WRITE:
        options = own = _json(document.options).decode()
        if stored is not None and may_have_additions(document, stored):
            options = _with_additions(db, document, own)
        content = _row(document, options, fence, cluster_id)
        digest = digest_of(len(document.options), [*content[1:3], own, *content[4:8]])
        db.execute(WRITE, content)
        db.execute("insert or replace into written values (?, ?, ?)", (document.id, cluster_id, fence.generation))
        db.execute("insert or replace into digests values (?, ?, ?)", (document.id, str(fence), digest))
        if document.creation and (row is None or row.creation != document.creation):
            _note_creation(db, document.id, cluster_id, document.creation, is_deleted=False)
    return verdict


def _note_creation(db: sqlite3.Connection, id: str, cluster_id: str, creation: int, *, is_deleted: bool) -> None:
    db.execute("insert or replace into creations values (?, ?, ?, ?)", (id, cluster_id, creation, int(is_deleted)))


def mark_deleted(db: sqlite3.Connection, id: str, creation: int, fence: Fence, cluster_id: str) -> bool:
    """Whether it is marked now. Its digest is of the fence before, so it says nothing any more."""
    row = _ledger(db, id, cluster_id)
    if row is not None and row.covers(creation):
        return True
    stored = stored_at(db, id)
    if stored is not None and stored.cluster == cluster_id and (stored.fence or "") > str(fence):
        return False
    db.execute(MARK, (id, cluster_id, str(fence)))
    _note_creation(db, id, cluster_id, creation, is_deleted=True)
    return True


def _with_additions(db: sqlite3.Connection, document: PollDocument, options: str) -> str:
    stored: object = db.execute("select options from polls where id = ?", (document.id,)).fetchone()[0]
    if stored == options:
        return options
    with suppress(ValueError):
        options = _json([*document.options, *added_options(_parse(stored), document.options)]).decode()
    return options


def stored_at(db: sqlite3.Connection, poll_id: str, own: Sequence[str] | None = None) -> StoredDocument | None:
    row = db.execute(STORED, (poll_id,)).fetchone()
    if row is None:
        return None
    cluster, fence, creation, *content, digest = row
    if cluster is None:
        return StoredDocument(None, None, by_hand(db.execute(f"{BY_HAND} where id = ?", (poll_id,)).fetchone()))
    edited = digest is not None and _is_edited(digest, content, own)
    return StoredDocument(cluster, fence_text(fence), edited=edited, creation=creation)


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


def _ledger(db: sqlite3.Connection, poll_id: str, cluster_id: str) -> LedgerRow | None:
    generation, creation, deleted = db.execute(LEDGER, (poll_id, cluster_id)).fetchone()
    if generation is None and creation is None:
        return None
    return LedgerRow(generation, creation or 0, bool(deleted))


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


def document_of(row: tuple[Any, ...]) -> PollDocument:
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


def found_at(db: sqlite3.Connection, poll_id: str, own: Sequence[str]) -> FoundDocument | None:
    row = db.execute(f"{READ.replace(' from', ', total from')} where id = ?", (poll_id,)).fetchone()
    stored = None if row is None else stored_at(db, poll_id, own)
    if stored is None:
        return None
    if stored.cluster is None:
        return FoundDocument(None, None, why="people put it there")
    *content, total = row
    try:
        document = document_of(tuple(content))
    except (ValueError, TypeError) as error:
        return FoundDocument(stored.cluster, stored.fence, None, total, stored.edited, str(error))
    return FoundDocument(stored.cluster, stored.fence, document, total, stored.edited)


def by_hand(row: tuple[Any, ...]) -> ManualPoll | Unreadable:
    id, title, options, results, state = row
    if NO_UTF8 in f"{id}{title}":
        return unreadable(id, "its id or its title is no UTF-8")
    try:
        return read_manual_poll(id, title, _parse(options), _parse(results), state)
    except ValueError as error:
        return unreadable(id, f"options and results must be JSON: {error}")


def texts(options: object) -> list[str]:
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
