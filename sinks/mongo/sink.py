"""Tallies in MongoDB 5 or later, or in a server that speaks its protocol (FerretDB 2). Each poll is one document.

    {_id: "mood", title: "…", options: [...], results: {happy: 12, "a.$b": 3}, total: 15, state: "open", …,
     quorate: {cluster: "…", fence: "…", version: 17}}

The collection is `ballots.polls`, unless the settings name another. Transactions are not needed: each document is
replaced by one update whose filter holds the fence and the content that was written last. So a late write of an older
leader matches nothing, and neither does one over a document that people edited: that is read, and told. `results` is
set as a whole, because options with `.` and `$` in their names cannot be set one by one. Only fields of ours are set.
Documents without `quorate` were put there by hand. A second collection, `polls_written`, is the ledger: it names every
poll that was ever written, so that a deleted document is told from one that was never written.

Everything is written with w=majority and j=true. The client connects when it is first needed, and reconnects by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pymongo
from bson import CodecOptions
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from pymongo.change_stream import CollectionChangeStream
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from quorate.config import Mongo
from quorate.sinks.added_options import added_options, texts_in
from quorate.sinks.auditable import FoundDocument
from quorate.sinks.deletable import DELETED
from quorate.sinks.documents import sort_manual_polls, stored_fence
from quorate.sinks.fencing import LOWEST, MAY_WRITE, LedgerRow, deviates, generation_of, judge, may_have_additions
from quorate.sinks.importable import REFRESH_S, ManualPoll, Unreadable
from quorate.sinks.mongo.causes import AUTHENTICATION_FAILED, DUPLICATE_KEY, brief, in_words, of_document
from quorate.sinks.mongo.change_stream import ChangeStream
from quorate.sinks.mongo.connect import connect
from quorate.sinks.mongo.stored import (
    CLAIMED,
    READ_BY_HAND,
    READ_CONTENT,
    Document,
    as_claimed,
    as_found,
    as_written,
    body_of,
    by_hand_of,
    creation_in,
    document_of,
    foreign_to,
    found_of,
    is_written,
    key_of,
    keys_of,
    ledger_row_of,
    ledger_update,
    longer_than,
    marking,
    marking_other,
    stored_of,
    update,
)
from quorate.sinks.sink import Fence, PollDocument, SinkError, WriteOutcome

Operation = pymongo.InsertOne[Document] | pymongo.UpdateOne

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
        self._ledger: dict[str, LedgerRow] = {}  # a copy of known rows, by id
        self._ledger_of = ""  # the id of the cluster of these rows
        self._last: dict[str, Document] = {}  # id -> what the filter of the next update asks for: the last write
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
            return sort_manual_polls(map(by_hand_of, by_hand))

    def find_longer(self, sizes: Mapping[str, int], cluster_id: str, *, timeout_s: float) -> Mapping[str, list[str]]:
        written = {"quorate.cluster": cluster_id, "quorate.fence": {"$ne": str(LOWEST)}, "write_ins": False}
        written["state"] = {"$ne": DELETED}
        found: dict[str, list[str]] = {}
        with self._within(timeout_s):
            for longer in longer_than(sizes):
                for raw in self._polls().find({**written, "$or": longer}, {"options": 1}):
                    found[str(raw["_id"])] = texts_in(raw.get("options"))
        return found

    def touched(self, *, timeout_s: float) -> bool:
        with self._within(timeout_s):
            return self._change_stream.has_news()

    def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
        with self._within(timeout_s):
            found = self._polls().find_one(foreign_to(cluster_id), {"quorate": 1}, sort=[("quorate.fence", -1)])
        return (
            None if found is None else (str(found["quorate"]["cluster"]), stored_fence(found["quorate"].get("fence")))
        )

    def adopt(self, cluster_id: str, *, timeout_s: float) -> int:
        ours = {"quorate.cluster": cluster_id, "quorate.fence": str(LOWEST)}
        with self._within(timeout_s):
            return self._polls().update_many(foreign_to(cluster_id), {"$set": ours}).modified_count

    def read(self, *, timeout_s: float) -> dict[str, PollDocument]:
        with self._within(timeout_s):
            # Version 0: the document was claimed a moment ago and is about to be written for the first time.
            ours = {"quorate.cluster": {"$ne": None}, "quorate.version": {"$ne": 0}}
            found = list(self._polls().find(ours).sort("_id", 1))
        try:
            return {document.id: document for document in map(document_of, filter(is_written, found))}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SinkError(f"MongoDB holds a document of ours that was edited into nonsense: {error!r}") from error

    def deviations(self, written: Mapping[str, str | None], cluster_id: str, *, timeout_s: float) -> list[str]:
        with self._within(timeout_s):
            keys = [key for id in written for key in keys_of(id)]
            stored = {
                str(raw["_id"]): stored_of(raw) for raw in self._polls().find({"_id": {"$in": keys}}, READ_CONTENT)
            }
        return [id for id, fence in written.items() if deviates(stored.get(id), fence, cluster_id)]

    def look_at(self, polls: Mapping[str, Sequence[str]], *, timeout_s: float) -> dict[str, FoundDocument]:
        keys = [key for id in polls for key in keys_of(id)]
        found: dict[str, FoundDocument] = {}
        with self._within(timeout_s):
            for raw in self._polls().find({"_id": {"$in": keys}}):
                if str(raw["_id"]) not in found or raw.get("state") != DELETED:  # of two, one was marked
                    found[str(raw["_id"])] = found_of(raw, polls[str(raw["_id"])])
        return found

    def ids_of(self, cluster_id: str, *, timeout_s: float) -> list[str]:
        fenced = {"quorate.cluster": cluster_id, "quorate.fence": {"$nin": [str(LOWEST), str(CLAIMED)]}}
        with self._within(timeout_s):
            found = self._polls().find({**fenced, "state": {"$ne": DELETED}}, {"_id": 1})
            return [str(raw["_id"]) for raw in found]

    def mark_deleted(self, polls: Mapping[str, int], fence: Fence, cluster_id: str, *, timeout_s: float) -> set[str]:
        """The documents first, and then the ledger: what is in the ledger is marked."""
        with self._within(timeout_s):
            ledger = self._look_up(list(polls), cluster_id, afresh=True)
            unmarked = {id: n for id, n in polls.items() if id not in ledger or not ledger[id].covers(n)}
            for id in unmarked:
                self._last.pop(id, None)
            if unmarked:
                markings = [marking(id, fence, cluster_id, creation) for id, creation in unmarked.items()]
                self._polls().bulk_write(markings, ordered=False)
            newer = self._newer_than(fence, cluster_id, list(unmarked))
            marked = {id: creation for id, creation in unmarked.items() if id not in newer}
            self._note(
                {
                    id: LedgerRow(ledger[id].generation if id in ledger else None, creation, deleted=True)
                    for id, creation in marked.items()
                },
                cluster_id,
            )
        return polls.keys() - newer

    def _newer_than(self, fence: Fence, cluster_id: str, ids: Sequence[str]) -> set[str]:
        keys = [key for id in ids for key in keys_of(id)]
        newer = {"_id": {"$in": keys}, "quorate.cluster": cluster_id, "quorate.fence": {"$gt": str(fence)}}
        return {str(raw["_id"]) for raw in self._polls().find(newer, {"_id": 1})} if keys else set()

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
            raise SinkError(in_words(error, timeout_s, self._hosts())) from error

    def _hosts(self) -> list[str]:
        client = self._client
        seeds = [] if client is None else client.topology_description.server_descriptions()
        return [f"{host}:{port}" for host, port in seeds]

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
                    self._client = connect(self._url)
                except (ValueError, OSError) as error:  # other wrong addresses raise a PyMongoError
                    raise SinkError(in_words(error, 0)) from error
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
        known = set() if careful else {d.id for d in documents if self._is_older(d, fence, cluster_id)}
        ledger = self._look_up(sorted(known), cluster_id, afresh=False)
        ledger |= self._look_up([d.id for d in documents if d.id not in known], cluster_id, afresh=True)
        before = {d.id: generation_of(ledger.get(d.id), d, fence) for d in documents}
        written = {id for id, generation in before.items() if generation == fence.generation}
        bodies = {d.id: body_of(d, fence, cluster_id) for d in documents}
        operations: dict[str, Operation] = {id: update(bodies[id], self._last[id]) for id in known}
        outcomes = dict.fromkeys(operations, WriteOutcome.WRITTEN)  # if each finds its document as expected
        untouched: dict[str, WriteOutcome] = {}
        self._mark_others([d for d in documents if d.id not in known], fence, cluster_id)
        for document, raw in self._with_stored([d for d in documents if d.id not in known]):
            id, stored = document.id, None if raw is None else stored_of(raw, document.options)
            outcome = judge(document, fence, cluster_id, stored, ledger=before[id])
            if raw is not None and stored is not None and may_have_additions(document, stored):
                bodies[id]["options"] += added_options(raw.get("options"), document.options)
            if outcome not in MAY_WRITE:
                untouched[id] = outcome
            elif raw is None or stored is None:
                operations[id], outcomes[id] = pymongo.InsertOne(bodies[id]), outcome
            elif stored.cluster is not None:
                operations[id], outcomes[id] = update(bodies[id], as_found(raw, outcome)), outcome
            elif self._claim(raw, document, cluster_id):
                operations[id], outcomes[id] = update(bodies[id], as_claimed(raw, cluster_id)), outcome
        for id in operations:
            self._last.pop(id, None)  # not known until the answer is here
        if self._run(operations):
            outcomes |= untouched
        else:
            outcomes = untouched
        stored_now = {id for id, outcome in outcomes.items() if outcome.is_stored}
        if WriteOutcome.RESTORED in outcomes.values():
            self._has_index = False  # it may be lost, too
        # A document with options that people added is read before each write, until they are the poll's.
        own = {d.id for d in documents if len(bodies[d.id]["options"]) == len(d.options)}
        self._last.update((id, as_written(bodies[id])) for id in stored_now & own)
        new = {d.id: LedgerRow(fence.generation, d.creation) for d in documents if d.id in stored_now - written}
        self._note(new, cluster_id)
        return outcomes

    def _is_older(self, document: PollDocument, fence: Fence, cluster_id: str) -> bool:
        """Whether this cluster's last write of this poll is known, and is older."""
        last, row = self._last.get(document.id), self._ledger.get(document.id)
        if row is None or row.creation != document.creation:
            return False
        return last is not None and last["quorate.cluster"] == cluster_id and last["quorate.fence"] < str(fence)

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
        """Each document with the stored one."""
        keys = [key_of(document) for document in documents]
        found = self._polls().find({"_id": {"$in": keys}}, READ_CONTENT) if keys else ()
        stored = {raw["_id"]: raw for raw in found}
        return ((document, stored.get(key)) for document, key in zip(documents, keys, strict=True))

    def _mark_others(self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str) -> None:
        markings = [marking_other(d, fence, cluster_id) for d in documents if len(keys_of(d.id)) > 1]
        if markings:
            self._polls().bulk_write(markings, ordered=False)

    def _claim(self, raw: Document, document: PollDocument, cluster_id: str) -> bool:
        """Fence a hand-made document if it still holds the results that were judged. They stay until the next write."""
        # With $eq an option that is named like an operator is data. A missing field equals null, as is needed here.
        unchanged = {"_id": raw["_id"], "quorate.cluster": None, "results": {"$eq": raw.get("results")}}
        ours = {"cluster": cluster_id, "fence": str(CLAIMED), "version": 0, **creation_in(document)}
        return self._polls().update_one(unchanged, {"$set": {"quorate": ours}}).matched_count == 1

    # ---- the ledger -------------------------------------------------------------------------------------------------

    def _look_up(self, ids: Sequence[str], cluster_id: str, *, afresh: bool) -> dict[str, LedgerRow]:
        """The polls that this cluster ever had, of those it ever wrote or marked here."""
        if self._ledger_of != cluster_id:
            self._ledger, self._ledger_of = {}, cluster_id
        unknown = [id for id in ids if afresh or id not in self._ledger]
        for id in unknown:
            self._ledger.pop(id, None)
        if unknown:
            rows = self._written().find({"_id": {"$in": unknown}, "cluster": cluster_id})
            self._ledger.update((row["_id"], ledger_row_of(row)) for row in rows)
        return {id: self._ledger[id] for id in ids if id in self._ledger}

    def _note(self, rows: Mapping[str, LedgerRow], cluster_id: str) -> None:
        updates: list[Any] = [
            pymongo.UpdateOne({"_id": id}, ledger_update(row, cluster_id), upsert=True)
            for id, row in sorted(rows.items())
        ]
        if updates:
            self._written().bulk_write(updates, ordered=False)
            self._ledger.update(rows)


def _make_index(polls: Collection[Document]) -> None:
    """Make the index by which documents of other clusters, and documents put there by hand, are found."""
    try:
        polls.create_index([("quorate.cluster", 1), ("quorate.fence", -1)], name="quorate_fence")
    except OperationFailure as refused:  # without the index all is right, but slower
        if refused.code == AUTHENTICATION_FAILED:
            raise
        log.warning("MongoDB refuses the index quorate_fence on %s: %s", polls.full_name, brief(str(refused)))


def _raise_unless_duplicate(error: BulkWriteError, ids: Sequence[str]) -> None:
    """A duplicate key only means that a document is stored there after all. Any other refusal becomes a `SinkError`."""
    if error.details.get("writeConcernErrors"):
        raise error
    for failed in error.details.get("writeErrors", []):
        if failed.get("code") != DUPLICATE_KEY:
            raise SinkError(of_document(ids[failed["index"]], failed)) from error
