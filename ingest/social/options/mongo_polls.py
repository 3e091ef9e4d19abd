"""The open polls in MongoDB, by cursor: those that the cluster wrote, and those that people put there by hand.

A poll's own document says by which rules posts vote in it, unless the settings do:

    {_id: "mood", title: "…", options: ["happy", "sad"], stream: {match: "words", one_per: "author", reposts: false}}

Documents by hand are read as the cluster reads them. Those that make no sense are left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pymongo
from bson.errors import BSONError
from pymongo.errors import PyMongoError

from quorate.config import Mongo
from quorate.errors import ConfigError, QuorateError
from quorate.ingest.social.options.poll_rules import rules_in_document
from quorate.ingest.social.options.polls_reader import BoundedPolls, PollsRead
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.sinks.added_options import texts_in
from quorate.sinks.importable import Unreadable
from quorate.sinks.mongo.causes import in_words
from quorate.sinks.mongo.connect import connect
from quorate.sinks.mongo.sink import LENIENT
from quorate.sinks.mongo.stored import Document, by_hand_of

BY_HAND = {"quorate.cluster": None, "state": {"$in": ["open", None]}}
# A document that was claimed a moment ago and is not written yet has no state, where it had none by hand.
WRITTEN = {"quorate.cluster": {"$ne": None}, "state": {"$in": ["open", None]}}
READ_BY_HAND = dict.fromkeys(("title", "options", "results", "state", "stream"), 1)
READ_WRITTEN = dict.fromkeys(("options", "state", "stream"), 1)
BATCH_DOCUMENTS = 20  # of up to 16 MiB each in theory; the server sends fewer of big ones
LEFT_OUT_MAX = 100


class DatabaseFailed(QuorateError):
    """The polls could not be read now. It may pass."""

    status, kind, title, retry_after_s = 503, "database", "The database cannot be read", 1.0


class MongoPolls:
    """`rules` are those of polls by id, and go before those of documents. `timeout_s` is for the whole reading."""

    def __init__(self, settings: Mongo, rules: Mapping[str, Rules], *, timeout_s: float = 30.0) -> None:
        self._settings, self._rules, self._timeout_s = settings, rules, timeout_s

    def read(self) -> PollsRead:
        found, left_out = BoundedPolls(), dict[str, str]()
        try:
            with pymongo.timeout(self._timeout_s), connect(self._settings.url) as client:
                for raw, is_written in self._documents(client):
                    try:
                        found.add(self._poll(raw, is_written))
                    except ConfigError as senseless:
                        if len(left_out) < LEFT_OUT_MAX:
                            left_out[str(raw["_id"])[:128]] = senseless.detail
        except (PyMongoError, BSONError, ValueError) as error:
            raise DatabaseFailed(in_words(error, self._timeout_s).replace("the flush", "the reading")) from None
        return PollsRead(found.polls, left_out, self._rules.keys())

    def _documents(self, client: pymongo.MongoClient[Document]) -> Iterator[tuple[Document, bool]]:
        """Each with whether the cluster wrote it."""
        polls = client[self._settings.database].get_collection(self._settings.collection, LENIENT)
        for wanted, fields, is_written in ((WRITTEN, READ_WRITTEN, True), (BY_HAND, READ_BY_HAND, False)):
            with polls.find(wanted, fields, batch_size=BATCH_DOCUMENTS).sort("_id", 1) as documents:
                for raw in documents:
                    yield raw, is_written and raw.get("state") is not None

    def _poll(self, raw: Document, is_written: bool) -> StreamPoll:
        """Raises `ConfigError` if the document makes no sense."""
        id, options = _written(raw) if is_written else _by_hand(raw)
        rules = self._rules.get(id)
        return StreamPoll(id, options, rules_in_document(raw.get("stream")) if rules is None else rules)


def _written(raw: Document) -> tuple[str, tuple[str, ...]]:
    options = tuple(texts_in(raw.get("options")))
    if not options:
        raise ConfigError("options is no list of texts")
    return str(raw["_id"]), options


def _by_hand(raw: Document) -> tuple[str, tuple[str, ...]]:
    poll = by_hand_of(raw)
    if isinstance(poll, Unreadable):
        raise ConfigError(poll.why)
    return poll.id, tuple(poll.options)
