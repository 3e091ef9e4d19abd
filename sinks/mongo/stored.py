"""What a stored document of MongoDB holds, what it means, and what the filter of an update asks for.

A filter holds the fence and the content that is expected. So an update changes nothing if another leader has written,
or if the document was edited, at whatever moment that happens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import bson
import pymongo
from bson import Int64, ObjectId
from bson.raw_bson import RawBSONDocument

from quorate.sinks.auditable import FoundDocument
from quorate.sinks.deletable import DELETED
from quorate.sinks.documents import date_of, digest_of, fence_text, options_in, unix_ms_of, written_among
from quorate.sinks.fencing import LOWEST, LedgerRow, StoredDocument
from quorate.sinks.importable import ManualPoll, Unreadable
from quorate.sinks.manual_poll import read_manual_poll
from quorate.sinks.sink import Fence, PollDocument, WriteOutcome
from quorate.vote import YEAR_9999_MS

Document = dict[str, Any]

# Of hand-made documents that are claimed and not written yet. Not the lowest: options that are added stay.
CLAIMED = Fence(0, 0, 1)
COMPARED_MAX = 1_000  # options that a filter compares one by one; of more, only their number is compared
CLAUSES_MAX = 100  # in one query: each is for the polls with one number of options
OBJECT_ID = re.compile(r"[0-9a-f]{24}")
READ_BY_HAND = {"title": 1, "options": 1, "results": 1, "state": 1}
CONTENT = ("title", "state", "options", "results", "total", "write_ins", "closes_at")  # what people may not edit
READ_CONTENT = dict.fromkeys((*CONTENT, "quorate"), 1)


def key_of(document: PollDocument) -> str | ObjectId:
    """The `_id`. A document inserted without one got an ObjectId, and the id of its poll is the text of that."""
    by_hand = document.initial_results is not None and OBJECT_ID.fullmatch(document.id)
    return ObjectId(document.id) if by_hand else document.id


def keys_of(id: str) -> list[str | ObjectId]:
    """Every `_id` that the document of a poll may have."""
    return [id, ObjectId(id)] if OBJECT_ID.fullmatch(id) else [id]


def ledger_row_of(raw: Document) -> LedgerRow:
    generation = raw.get("generation")
    return LedgerRow(
        None if generation is None else int(generation), int(raw.get("creation", 0)), raw.get("deleted") is True
    )


def ledger_update(row: LedgerRow, cluster_id: str) -> Document:
    """Nodes of 0.1.0 know `cluster` and `generation` alone."""
    row_now: Document = {"cluster": cluster_id}
    if row.generation is not None:
        row_now["generation"] = row.generation
    more = {"creation": row.creation, "deleted": row.deleted}
    absent = {name: "" for name, value in more.items() if not value}
    row_now |= {name: value for name, value in more.items() if value}
    return {"$set": row_now} | ({"$unset": absent} if absent else {})


def update(body: Document, expected: Document) -> pymongo.UpdateOne:
    return pymongo.UpdateOne({"_id": body["_id"], **expected}, {"$set": {k: v for k, v in body.items() if k != "_id"}})


def as_written(body: Document) -> Document:
    """What the next update's filter asks for: this document as it was written. If it was edited, nothing matches."""
    quorate, options = body["quorate"], body["options"]
    return {
        "quorate.cluster": quorate["cluster"],
        "quorate.fence": quorate["fence"],
        **{field: body[field] for field in ("title", "state", "total", "write_ins", "closes_at")},
        "options": _equal_to(options),
        "results": {"$eq": body["results"]},
    }


def as_claimed(raw: Document, cluster_id: str) -> Document:
    """What a filter asks for of a hand-made document that was claimed a moment ago."""
    return {
        "quorate.cluster": cluster_id,
        "quorate.fence": str(CLAIMED),
        "options": _equal_to(raw.get("options")),
        "results": {"$eq": raw.get("results")},
    }


def as_found(raw: Document, outcome: WriteOutcome) -> Document:
    """What the update's filter asks for of a fenced document that was read and judged.

    An edited one may be edited again at any moment, and is told already. But no option that is added may be lost.
    """
    found = {
        "quorate.cluster": raw["quorate"]["cluster"],
        "quorate.fence": raw["quorate"].get("fence"),
        "options": _equal_to(raw.get("options")),
    }
    return found if outcome is WriteOutcome.EDITED else {**found, "results": {"$eq": raw.get("results")}}


def _equal_to(options: object) -> Document:
    """Of a long list, only the length is compared."""
    return {"$size": len(options)} if isinstance(options, list) and len(options) > COMPARED_MAX else {"$eq": options}


def longer_than(sizes: Mapping[str, int]) -> Iterator[list[Document]]:
    """Filters for documents with more options than that, in groups that are small enough for one query.

    No operator compares the length of a list with a number.
    """
    by_size: dict[int, list[str | ObjectId]] = {}
    for id, size in sizes.items():
        keys = by_size.setdefault(size, [])
        keys.append(id)
        if OBJECT_ID.fullmatch(id):
            keys.append(ObjectId(id))
    filters = ({"_id": {"$in": keys}, f"options.{size}": {"$exists": True}} for size, keys in by_size.items())
    while group := list(islice(filters, CLAUSES_MAX)):
        yield group


def body_of(document: PollDocument, fence: Fence, cluster_id: str) -> Document:
    closes_at_ms = None if document.closes_at_ms is None else min(document.closes_at_ms, YEAR_9999_MS)
    body: Document = {
        "_id": key_of(document),
        "title": document.title,
        "options": list(document.options),
        "results": RawBSONDocument(bson.encode(dict(document.results))),  # encoded once, for two updates
        "total": document.total,
        "state": document.state,
        "write_ins": document.write_ins,
        "closes_at": None if closes_at_ms is None else date_of(closes_at_ms),
        "updated": date_of(document.updated_ms),
    }
    content = {**body, "results": [*document.results.items()], "closes_at": closes_at_ms}
    digest = digest_of(len(document.options), [content[field] for field in CONTENT])
    quorate = {"cluster": cluster_id, "fence": str(fence), "version": document.version, "digest": digest}
    return {**body, "quorate": quorate | creation_in(document)}


def creation_in(document: PollDocument) -> Document:
    """The number of the creation, if it has one: documents of level 0 are as they ever were."""
    return {"creation": document.creation} if document.creation else {}


def marking(id: str, fence: Fence, cluster_id: str, creation: int) -> pymongo.UpdateOne:
    """Mark the document of a deleted poll, unless its fence is newer. There is no digest any more."""
    older = {"quorate.cluster": cluster_id, "quorate.fence": {"$lte": str(fence)}}
    mark = {"cluster": cluster_id, "fence": str(fence), "version": fence.version, "creation": creation}
    return pymongo.UpdateOne(
        {"_id": {"$in": keys_of(id)}, "$or": [older, {"quorate.cluster": None}]},
        {"$set": {"state": DELETED, "quorate": mark}},
    )


def marking_other(document: PollDocument, fence: Fence, cluster_id: str) -> pymongo.UpdateOne:
    """Mark what an earlier poll of this id left under the other `_id` that it may have: nobody writes it any more."""
    others = [key for key in keys_of(document.id) if key != key_of(document)]
    older = {"quorate.cluster": cluster_id, "quorate.fence": {"$lte": str(fence)}}
    return pymongo.UpdateOne({"_id": {"$in": others}, **older}, {"$set": {"state": DELETED}})


def _is_edited(raw: Document, digest: object, own: Sequence[str] | None) -> bool:
    """Options that were added to those that were written are no edit, except in a write-in poll.

    `own` are those of the poll by now. Without them, only what was added behind is told from an edit.
    """
    written, content = options_in(digest), {field: _plain(raw.get(field)) for field in CONTENT}
    options = raw.get("options")
    if isinstance(options, list) and not raw.get("write_ins"):
        content["options"] = written_among(options, written, own)
    return digest_of(written, list(content.values())) != digest


def _plain(value: object) -> object:
    """The same number for every type of integers that MongoDB has, and the same moment for every time zone."""
    if isinstance(value, Mapping):
        return [(key, _number(each)) for key, each in value.items()]
    if isinstance(value, datetime):
        return unix_ms_of(value)
    return _number(value)


def _number(value: object) -> object:
    return int(value) if isinstance(value, Int64) else value


def document_of(raw: Document) -> PollDocument:
    return PollDocument(
        id=str(raw["_id"]),
        title=raw["title"],
        options=raw["options"],
        results={option: int(count) for option, count in raw["results"].items()},
        state=raw["state"],
        version=int(raw["quorate"]["version"]),
        updated_ms=unix_ms_of(raw["updated"]),
        write_ins=bool(raw["write_ins"]),
        closes_at_ms=None if raw["closes_at"] is None else unix_ms_of(raw["closes_at"]),
    )


def found_of(raw: Document, own: Sequence[str]) -> FoundDocument:
    """As an audit sees it. A document that is claimed and not written yet counts as put there by hand."""
    stored = stored_of(raw, own)
    if stored.cluster is None or stored.fence == str(CLAIMED):
        return FoundDocument(None, None, why="people put it there")
    total = _number(raw.get("total"))
    try:
        document = document_of(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return FoundDocument(stored.cluster, stored.fence, None, total, stored.edited, repr(error))
    return FoundDocument(stored.cluster, stored.fence, document, total, stored.edited)


def is_written(raw: Document) -> bool:
    """Whether the cluster wrote its tally. A hand-made document that was only marked as deleted lacks some of it."""
    return raw.get("state") != DELETED or all(field in raw for field in (*CONTENT, "updated"))


def stored_of(raw: Document, own: Sequence[str] | None = None) -> StoredDocument:
    quorate = raw.get("quorate")
    if not isinstance(quorate, dict) or quorate.get("cluster") is None:
        return StoredDocument(None, None, by_hand_of(raw))
    adopted = quorate.get("fence") == str(LOWEST)  # its digest is of the other cluster
    edited = "digest" in quorate and not adopted and _is_edited(raw, quorate["digest"], own)
    claimed = by_hand_of(raw) if quorate.get("fence") == str(CLAIMED) else None
    creation = _number(quorate.get("creation", 0))
    return StoredDocument(
        str(quorate["cluster"]),
        fence_text(quorate.get("fence")),
        claimed,
        edited,
        creation if isinstance(creation, int) else 0,
    )


def by_hand_of(raw: Document) -> ManualPoll | Unreadable:
    id = raw["_id"]
    if isinstance(id, str) and OBJECT_ID.fullmatch(id):
        return Unreadable(id, "its _id is a text that reads like an ObjectId; give it another one")
    name = str(id) if isinstance(id, ObjectId) else id
    return read_manual_poll(name, raw.get("title"), raw.get("options"), raw.get("results"), raw.get("state"))


def foreign_to(cluster_id: str) -> Document:
    return {"quorate.cluster": {"$nin": [cluster_id, None]}}
