"""What Jetstream sends: each message is one event in JSON, framed by v2 (`xrpc.v1.json`), bare by v1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from quorate.ingest.social.post import Post
from quorate.ingest.social.reading.loose_json import loosely
from quorate.unreadable import UNREADABLE

POSTS = "app.bsky.feed.post"
TAG = "app.bsky.richtext.facet#tag"


class NoEvent(Exception):
    """It is no message of Jetstream."""


@dataclass(frozen=True, slots=True)
class JetstreamEvent:
    """`post` is None if it is none: an edit, a deletion, something else. `seq` is 0 where events have no numbers."""

    seq: int
    time_us: int
    post: Post | None


@dataclass(frozen=True, slots=True)
class Advice:
    """The server tells something by the way; `OutdatedCursor` is known."""

    name: str


@dataclass(frozen=True, slots=True)
class Farewell:
    """The server ends the stream; `ConsumerTooSlow` is known."""

    name: str


Message = JetstreamEvent | Advice | Farewell


class _Frame(msgspec.Struct):
    kind: str = msgspec.field(name="$type", default="")
    payload: msgspec.Raw = msgspec.Raw()
    error: str = ""


class _Payload(msgspec.Struct):
    kind: str = msgspec.field(name="$type")
    seq: int = 0
    did: str = ""
    time: datetime | None = None
    operation: str = ""
    collection: str = ""
    rkey: str = ""
    record: msgspec.Raw = msgspec.Raw()
    name: str = ""


class _OldCommit(msgspec.Struct):
    operation: str = ""
    collection: str = ""
    rkey: str = ""
    record: msgspec.Raw = msgspec.Raw()


class _OldEvent(msgspec.Struct):
    did: str
    time_us: int
    kind: str = ""
    commit: _OldCommit | None = None


class _Feature(msgspec.Struct):
    kind: str = msgspec.field(name="$type", default="")
    tag: str = ""


class _Facet(msgspec.Struct):
    features: list[_Feature] = []


class _Record(msgspec.Struct):
    """People's programs write records: nothing in them is sure."""

    text: str
    tags: list[str] | None = None
    facets: list[_Facet] | None = None


class _TextOnly(msgspec.Struct):
    text: str


_frame = msgspec.json.Decoder(_Frame).decode
_payload = msgspec.json.Decoder(_Payload).decode
_old_event = msgspec.json.Decoder(_OldEvent).decode
_record = msgspec.json.Decoder(_Record).decode
_text_only = msgspec.json.Decoder(_TextOnly).decode


def read_frame(data: bytes) -> Message:
    """Of v2. Raises `NoEvent`."""
    try:
        frame = loosely(_frame, data)
        if frame.kind == "error":
            return Farewell(frame.error)
        if frame.kind != "message":
            raise NoEvent
        payload = _payload(frame.payload)
    except UNREADABLE:
        raise NoEvent from None
    if payload.time is None:
        if not payload.kind.endswith("#info"):
            raise NoEvent
        return Advice(payload.name)
    is_post = payload.kind.endswith("#commit") and payload.operation == "create" and payload.collection == POSTS
    time_us = _micros(payload.time)
    post = _post(payload.did, payload.rkey, time_us, payload.record) if is_post else None
    return JetstreamEvent(payload.seq, time_us, post)


def read_bare(data: bytes) -> Message:
    """Of v1. Raises `NoEvent`."""
    try:
        event = loosely(_old_event, data)
    except UNREADABLE:
        raise NoEvent from None
    commit = event.commit
    if commit is None or commit.operation != "create" or commit.collection != POSTS:
        return JetstreamEvent(0, event.time_us, None)
    return JetstreamEvent(0, event.time_us, _post(event.did, commit.rkey, event.time_us, commit.record))


def _post(did: str, rkey: str, time_us: int, raw: msgspec.Raw) -> Post | None:
    """None if the record has no text that can be read."""
    if not did or not rkey:
        return None
    tags: Sequence[str] = ()
    record = bytes(raw)
    try:
        read = loosely(_record, record)
        tags, text = _tags(read), read.text
    except UNREADABLE:
        try:
            text = loosely(_text_only, record).text
        except UNREADABLE:
            return None
    return Post(f"{did}/{rkey}", text, did, tuple(tags), created_ms=time_us // 1000)


def _tags(record: _Record) -> list[str]:
    tags = list(record.tags or ())
    for facet in record.facets or ():
        tags += [feature.tag for feature in facet.features if feature.kind == TAG and feature.tag]
    return tags


def _micros(moment: datetime) -> int:
    """0 where it names no zone, so that it is no moment."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond if moment.tzinfo is not None else 0
