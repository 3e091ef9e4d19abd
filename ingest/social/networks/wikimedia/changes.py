"""A change of a wiki as a post: `mediawiki/recentchange`, as EventStreams sends it.

Its text is the page's title and the comment of who changed it, as people see it, without markup. Its tag is the wiki's
name, as `enwiki`: so a poll with these options shows where people write most. That a page was put into a category
repeats the edit that did it, so it is taken for a repost.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import msgspec

from quorate.ingest.social.post import Post
from quorate.ingest.social.reading.html_text import html_text
from quorate.ingest.social.reading.loose_json import loosely
from quorate.unreadable import UNREADABLE

REPEATS = ("categorize",)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class NoChange(ValueError):
    """The data of an event is no JSON object."""


class WikiChange:
    """`is_canary`: it only shows that the stream is alive, and is no post. `ms` is its time, 0 if it does not say.

    `key` tells it from other events and names none; `topic` is that of Kafka, as the server adds it.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._fields = loosely(_decode, data)
        except UNREADABLE:
            raise NoChange from None
        meta = self._fields.get("meta")
        self._meta: dict[str, Any] = meta if isinstance(meta, dict) else {}
        self._data = data

    @property
    def is_canary(self) -> bool:
        return self._meta.get("domain") == "canary"

    @property
    def ms(self) -> int:
        try:
            moment = datetime.datetime.fromisoformat(_text(self._meta, "dt"))
            return int(moment.timestamp() * 1000) if moment.tzinfo else 0
        except (ValueError, OverflowError):
            seconds = self._fields.get("timestamp")
            return seconds * 1000 if type(seconds) is int and 0 < seconds < 10_000_000_000 else 0

    @property
    def key(self) -> str:
        return hashlib.blake2b(self._id().encode(errors="replace"), digest_size=8).hexdigest()

    @property
    def topic(self) -> tuple[str, int] | None:
        topic, partition = self._meta.get("topic"), self._meta.get("partition")
        return (topic, partition) if isinstance(topic, str) and type(partition) is int else None

    def post(self) -> Post:
        comment = _text(self._fields, "parsedcomment") or _text(self._fields, "comment")
        title, wiki = _text(self._fields, "title"), _text(self._fields, "wiki")
        return Post(
            id=self._id(),
            text=f"{title}\n{html_text(comment)}" if comment else title,
            author=_text(self._fields, "user"),
            tags=(wiki,) if wiki else (),
            is_repost=_text(self._fields, "type") in REPEATS,
            created_ms=self.ms,
        )

    def _id(self) -> str:
        """`meta.id`. A server that sends none sends the same bytes again."""
        return _text(self._meta, "id") or hashlib.blake2b(self._data, digest_size=16).hexdigest()


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
