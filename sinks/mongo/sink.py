"""Tallies in MongoDB 5 or later, or in a server that speaks its protocol (FerretDB 2). Each poll is one document.

    {_id: "mood", title: "…", options: [...], results: {happy: 12, "a.$b": 3}, total: 15, state: "open", …,
     quorate: {cluster: "…", fence: "…", version: 17}}

The collection is `ballots.polls`, unless the settings name another. Transactions are not needed: each document is
replaced by one update whose filter holds the fence, so a late write of an older leader matches nothing. `results` is
set as a whole, because options with `.` and `$` in their names cannot be set one by one. Only fields of ours are set.
Documents without `quorate` were put there by hand. A second collection, `polls_written`, is the ledger: it names every
poll that was ever written, so that a deleted document is told from one that was never written.

Everything is written with w=majority and j=true. The client connects when it is first needed, and reconnects by itself.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pymongo
from bson import CodecOptions, ObjectId
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from pymongo.change_stream import CollectionChangeStream
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from quorate.config import Mongo
from quorate.sinks.added_options import added_options, texts_in
from quorate.sinks.documents import date_of, sort_manual_polls, stored_fence, unix_ms_of
from quorate.sinks.fencing import LOWEST, StoredDocument, judge, may_have_additions
from quorate.sinks.importable import REFRESH_S, ManualPoll, Unreadable
from quorate.sinks.manual_poll import read_manual_poll
from quorate.sinks.mongo.change_stream import ChangeStream
from quorate.sinks.sink import Fence, PollDocument, SinkError, WriteOutcome

Document = dict[str, Any]
Operation = pymongo.InsertOne[Document] | pymongo.UpdateOne

DUPLICATE_KEY = 11000
AUTHENTICATION_FAILED = 18
UNAUTHORIZED = (13, AUTHENTICATION_FAILED)
OBJECT_ID = re.compile(r"[0-9a-f]{24}")
FENCE_AND_OPTIONS = {"quorate": 1, "options": 1}
COMPARED_MAX = 1_000  # options that a filter compares one by one; of more, only their number is compared
CLAUSES_MAX = 100  # in one query: each is for the polls with one number of options
READ_BY_HAND = {"title": 1, "options": 1, "results": 1, "state": 1}
# People and other programs may have put any date or text into a document. It must not hide other documents.
LENIENT: CodecOptions[Document] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)

log = logging.getLogger(__name__)


def make_sink(settings: Mongo) -> MongoSink:
    return MongoSink(
        settings.url,
        database=settings.database,
        collection=settings.collection,
        refresh_s=settings.poll_refresh_s,
    )


class MongoSink:
    name = "mongo"

    def __init__(
        self, url: str, *, database: str = "ballots", collection: str = "polls", refresh_s: float = REFRESH_S
    ) -> None:
        self.refresh_s = refresh_s
        self._url, self._database, self._collection = url, database, collection
        self._lock = threading.Lock()  # around opening and closing; the client itself is safe in all threads
        self._client: pymongo.MongoClient[Document] | None = None
        self._closed = False
        self._has_index = False  # True also if the server refused it
        self._ledger: dict[str, int] = {}  # a copy of known rows: id -> generation
        self._ledger_of = ""  # the id of the cluster of these rows
        self._change_stream = ChangeStream(self._listen)

    # ---- the Protocol -----------------------------------------------------------------------------------------------

    def write(
        self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> dict[str, WriteOutcome]:
        with self._within(timeout_s):
            outcomes = self._pass(documents, fence, cluster_id, careful=False)
            undecided = [document for document in documents if document.id not in outcomes]
            if undecided:
                outcomes |= self._pass(undecided, fence, cluster_id, careful=True)
        missing = [document.id for document in documents if document.id not in outcomes]
        if missing:
            raise SinkError(f"somebody else is changing {missing[0]!r} in MongoDB at this moment; it is written again")
        return outcomes

    def find(self, *, timeout_s: float) -> tuple[list[ManualPoll], list[Unreadable]]:
        with self._within(timeout_s):
            by_hand = self._polls().find({"quorate.cluster": None}, READ_BY_HAND).sort("_id", 1)
            return sort_manual_polls(map(_by_hand, by_hand))

    def find_longer(self, sizes: Mapping[str, int], cluster_id: str, *, timeout_s: float) -> Mapping[str, list[str]]:
        written = {"quorate.cluster": cluster_id, "quorate.fence": {"$ne": str(LOWEST)}, "write_ins": False}
        found: dict[str, list[str]] = {}
        with self._within(timeout_s):
            for longer in batched(_longer_than(sizes), CLAUSES_MAX):
                for raw in self._polls().find({**written, "$or": longer}, {"options": 1}):
                    found[str(raw["_id"])] = texts_in(raw.get("options"))
        return found

    def touched(self, *, timeout_s: float) -> bool:
        with self._within(timeout_s):
            return self._change_stream.has_news()

    def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
        with self._within(timeout_s):
            found = self._polls().find_one(_foreign(cluster_id), {"quorate": 1}, sort=[("quorate.fence", -1)])
        return (
            None if found is None else (str(found["quorate"]["cluster"]), stored_fence(found["quorate"].get("fence")))
        )

    def adopt(self, cluster_id: str, *, timeout_s: float) -> int:
        ours = {"quorate.cluster": cluster_id, "quorate.fence": str(LOWEST)}
        with self._within(timeout_s):
            return self._polls().update_many(_foreign(cluster_id), {"$set": ours}).modified_count

    def read(self, *, timeout_s: float) -> dict[str, PollDocument]:
        with self._within(timeout_s):
            # Version 0: the document was claimed a moment ago and is about to be written for the first time.
            ours = {"quorate.cluster": {"$ne": None}, "quorate.version": {"$ne": 0}}
            found = list(self._polls().find(ours).sort("_id", 1))
        try:
            return {document.id: document for document in map(_document, found)}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SinkError(f"MongoDB holds a document of ours that was edited into nonsense: {error!r}") from error

    def close(self) -> None:
        with self._lock:
            client, self._client, self._closed = self._client, None, True
        if client is not None:
            client.close()

    def _listen(self) -> CollectionChangeStream[Document]:
        return self._polls().watch(*ChangeStream.ARGUMENTS, max_await_time_ms=ChangeStream.AWAIT_MS)

    # ---- the connection ---------------------------------------------------------------------------------------------

    @contextmanager
    def _within(self, timeout_s: float) -> Iterator[None]:
        """All calls to MongoDB inside this block share one deadline. Their errors become `SinkError`."""
        try:
            with pymongo.timeout(timeout_s):
                yield
        except (PyMongoError, BSONError) as error:
            raise SinkError(_in_words(error, timeout_s)) from error

    def _polls(self) -> Collection[Document]:
        return self._open()[self._database].get_collection(self._collection, LENIENT)

    def _written(self) -> Collection[Document]:
        return self._open()[self._database][f"{self._collection}_written"]

    def _open(self) -> pymongo.MongoClient[Document]:
        with self._lock:
            if self._closed:
                raise SinkError("the connection to MongoDB is closed: this node is stopping")
            if self._client is None:
                try:
                    self._client = pymongo.MongoClient(self._url, w="majority", journal=True, appname="quorate")
                except ValueError as error:  # for an impossible port; other wrong addresses raise a PyMongoError
                    raise SinkError(f"MongoDB cannot be used: {error}; correct mongo.url") from error
            if not self._has_index:
                _make_index(self._client[self._database][self._collection])
                self._has_index = True
            return self._client

    # ---- writing ----------------------------------------------------------------------------------------------------

    def _pass(
        self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str, *, careful: bool
    ) -> dict[str, WriteOutcome]:
        """Write the documents. The answer leaves out those for which the stored document was not as expected.

        `careful`: read every stored document and its ledger row before.
        """
        ledger = self._look_up([document.id for document in documents], cluster_id, afresh=careful)
        written = {id for id, generation in ledger.items() if generation == fence.generation}
        known = [] if careful else [document for document in documents if document.id in written]
        others = documents if careful else [document for document in documents if document.id not in written]
        operations: dict[str, Operation] = {d.id: _update(d, fence, cluster_id, d.options) for d in known}
        outcomes: dict[str, WriteOutcome] = {}
        for document, raw in self._with_stored(others):
            stored = None if raw is None else _stored(raw)
            outcome = judge(document, fence, cluster_id, stored, ledger=ledger.get(document.id))
            if outcome is not WriteOutcome.WRITTEN:
                outcomes[document.id] = outcome
            elif stored is None:
                operations[document.id] = pymongo.InsertOne(_body(document, fence, cluster_id))
            elif stored.cluster is not None or self._claim(raw or {}, cluster_id):
                options = (raw or {}).get("options") if may_have_additions(document, stored) else None
                operations[document.id] = _update(document, fence, cluster_id, options)
        if self._run(operations):
            outcomes.update(dict.fromkeys(operations, WriteOutcome.WRITTEN))
        ours = {id for id, outcome in outcomes.items() if outcome in (WriteOutcome.WRITTEN, WriteOutcome.SAME)}
        self._remember(ours - written, fence, cluster_id)
        return outcomes

    def _run(self, operations: Mapping[str, Operation]) -> bool:
        """Whether each operation found its document as expected."""
        if not operations:
            return True
        try:
            result = self._polls().bulk_write(list(operations.values()), ordered=False)
        except BulkWriteError as error:
            _raise_unless_duplicate(error, list(operations))
            return False
        return result.matched_count + result.inserted_count == len(operations)

    def _with_stored(self, documents: Sequence[PollDocument]) -> Iterator[tuple[PollDocument, Document | None]]:
        """Each document with the stored one; of one that is fenced, only the fence and the options."""
        keys = [_key(document) for document in documents]
        fenced = self._polls().find({"_id": {"$in": keys}, "quorate.cluster": {"$ne": None}}, FENCE_AND_OPTIONS)
        by_hand = self._polls().find({"_id": {"$in": keys}, "quorate.cluster": None}, READ_BY_HAND)
        stored = {raw["_id"]: raw for cursor in (fenced, by_hand) for raw in cursor} if keys else {}
        return ((document, stored.get(key)) for document, key in zip(documents, keys, strict=True))

    def _claim(self, raw: Document, cluster_id: str) -> bool:
        """Fence a hand-made document if it still holds the results that were judged. They stay until the next write."""
        # With $eq an option that is named like an operator is data. A missing field equals null, as is needed here.
        unchanged = {"_id": raw["_id"], "quorate.cluster": None, "results": {"$eq": raw.get("results")}}
        ours = {"cluster": cluster_id, "fence": str(LOWEST), "version": 0}
        return self._polls().update_one(unchanged, {"$set": {"quorate": ours}}).matched_count == 1

    # ---- the ledger -------------------------------------------------------------------------------------------------

    def _look_up(self, ids: Sequence[str], cluster_id: str, *, afresh: bool) -> dict[str, int]:
        """The polls that this cluster ever wrote here, each with the generation of the last write."""
        if self._ledger_of != cluster_id:
            self._ledger, self._ledger_of = {}, cluster_id
        unknown = [id for id in ids if afresh or id not in self._ledger]
        for id in unknown:
            self._ledger.pop(id, None)
        if unknown:
            rows = self._written().find({"_id": {"$in": unknown}, "cluster": cluster_id}, {"generation": 1})
            self._ledger.update((row["_id"], row["generation"]) for row in rows)
        return {id: self._ledger[id] for id in ids if id in self._ledger}

    def _remember(self, ids: Iterable[str], fence: Fence, cluster_id: str) -> None:
        row = {"$set": {"cluster": cluster_id, "generation": fence.generation}}
        rows: list[Any] = [pymongo.UpdateOne({"_id": id}, row, upsert=True) for id in sorted(ids)]
        if rows:
            self._written().bulk_write(rows, ordered=False)
            self._ledger.update(dict.fromkeys(ids, fence.generation))


def _make_index(polls: Collection[Document]) -> None:
    """Make the index by which documents of other clusters, and documents put there by hand, are found."""
    try:
        polls.create_index([("quorate.cluster", 1), ("quorate.fence", -1)], name="quorate_fence")
    except OperationFailure as refused:  # without the index all is right, but slower
        if refused.code == AUTHENTICATION_FAILED:
            raise
        log.warning("MongoDB refuses the index quorate_fence on %s: %s", polls.full_name, refused)


def _raise_unless_duplicate(error: BulkWriteError, ids: Sequence[str]) -> None:
    """A duplicate key only means that a document is stored there after all. Any other refusal becomes a `SinkError`."""
    if error.details.get("writeConcernErrors"):
        raise error
    for failed in error.details.get("writeErrors", []):
        if failed.get("code") != DUPLICATE_KEY:
            raise SinkError(
                f"MongoDB refuses the document of poll {ids[failed['index']]!r}: {failed.get('errmsg')}"
            ) from error


def _in_words(error: Exception, timeout_s: float) -> str:
    brief = str(error)
    for noise in (", Timeout:", ", full error:", " (configured timeouts:"):
        brief = brief.split(noise)[0]
    brief = " ".join(brief.split())[:300]
    if "Got response id" in brief:  # the text has a number that differs each time
        return "MongoDB cannot be used: what answers there is no MongoDB; see mongo.url"
    if isinstance(error, ServerSelectionTimeoutError):
        return f"MongoDB cannot be reached ({brief}); the flush goes on when it is back"
    if isinstance(error, OperationFailure) and error.code in UNAUTHORIZED:
        return f"MongoDB refuses this user ({brief}); see mongo.url, and give it the role readWrite"
    if isinstance(error, PyMongoError) and error.timeout:
        return f"MongoDB did not answer within {timeout_s:g} s ({brief})"
    return f"MongoDB cannot be used: {brief}"


# ---- documents -------------------------------------------------------------------------------------------------------


def _key(document: PollDocument) -> str | ObjectId:
    """The `_id`. A document inserted without one got an ObjectId, and the id of its poll is the text of that."""
    by_hand = document.initial_results is not None and OBJECT_ID.fullmatch(document.id)
    return ObjectId(document.id) if by_hand else document.id


def _update(document: PollDocument, fence: Fence, cluster_id: str, stored: object) -> pymongo.UpdateOne:
    """`stored` are the options that stand there, as far as is known. If others stand there, nothing is written."""
    older: Document = {"_id": _key(document), "quorate.cluster": cluster_id, "quorate.fence": {"$lt": str(fence)}}
    body = _body(document, fence, cluster_id)
    del body["_id"]
    if isinstance(stored, list | tuple) and not document.write_ins:
        older["options"] = {"$eq": list(stored)} if len(stored) <= COMPARED_MAX else {"$size": len(stored)}
        body["options"] += added_options(stored, document.options)
    return pymongo.UpdateOne(older, {"$set": body})


def _longer_than(sizes: Mapping[str, int]) -> Iterator[Document]:
    """Filters for documents with more options than that. No operator compares the length of a list with a number."""
    by_size: dict[int, list[str | ObjectId]] = {}
    for id, size in sizes.items():
        keys = by_size.setdefault(size, [])
        keys.append(id)
        if OBJECT_ID.fullmatch(id):
            keys.append(ObjectId(id))
    return ({"_id": {"$in": keys}, f"options.{size}": {"$exists": True}} for size, keys in by_size.items())


def batched(items: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """Part of itertools from Python 3.12 on."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _body(document: PollDocument, fence: Fence, cluster_id: str) -> Document:
    return {
        "_id": _key(document),
        "title": document.title,
        "options": list(document.options),
        "results": dict(document.results),
        "total": document.total,
        "state": document.state,
        "write_ins": document.write_ins,
        "closes_at": None if document.closes_at_ms is None else date_of(document.closes_at_ms),
        "updated": date_of(document.updated_ms),
        "quorate": {"cluster": cluster_id, "fence": str(fence), "version": document.version},
    }


def _document(raw: Document) -> PollDocument:
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


def _stored(raw: Document) -> StoredDocument:
    if "quorate" not in raw:
        return StoredDocument(None, None, _by_hand(raw))
    quorate = raw["quorate"]
    return (
        StoredDocument(str(quorate["cluster"]), quorate.get("fence"))
        if isinstance(quorate, dict)
        else StoredDocument("?", None)
    )


def _by_hand(raw: Document) -> ManualPoll | Unreadable:
    id = raw["_id"]
    if isinstance(id, str) and OBJECT_ID.fullmatch(id):
        return Unreadable(id, "its _id is a text that reads like an ObjectId; give it another one")
    name = str(id) if isinstance(id, ObjectId) else id
    return read_manual_poll(name, raw.get("title"), raw.get("options"), raw.get("results"), raw.get("state"))


def _foreign(cluster_id: str) -> Document:
    return {"quorate.cluster": {"$nin": [cluster_id, None]}}
