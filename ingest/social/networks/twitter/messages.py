"""What comes over a `statuses/filter` stream: posts, and messages about the stream itself.

Twitter's documents: "Streaming message types". A message ends with CR LF, and may hold a bare LF; other servers end
messages with a bare LF. So what ends with a bare LF and is no whole JSON is held until the rest has come.

What is deleted keeps its votes, so `delete`, `scrub_geo`, `status_withheld` and the like are passed over, and so is
whatever has a name that is not known here.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Iterator
from typing import Any

import msgspec

from quorate.ingest.social.networks.twitter.escapes import unescaped
from quorate.ingest.social.post import Post
from quorate.ingest.social.reading.lines import LINE_BYTES_MAX
from quorate.ingest.social.reading.loose_json import loosely
from quorate.unreadable import UNREADABLE

LINES_HELD = 1_000  # each is read together with all before it
DISCONNECTS = {
    1: "shutdown",
    2: "duplicate",
    3: "control_request",
    4: "too_slow",
    5: "normal",
    6: "token_revoked",
    7: "other_client",
    9: "message_limit",
    10: "stream_exception",
    11: "broker_stall",
    12: "shed_load",
}


class Withheld(msgspec.Struct, frozen=True):
    """So many posts were held back since the connection was made, as they were too many at once."""

    total: int


class FallingBehind(msgspec.Struct, frozen=True):
    percent_full: int


class Disconnect(msgspec.Struct, frozen=True):
    """The server says why it will hang up."""

    code: int

    @property
    def reason(self) -> str:
        return DISCONNECTS.get(self.code, "disconnect")


class Nonsense(msgspec.Struct, frozen=True):
    """No JSON object."""


Message = Post | Withheld | FallingBehind | Disconnect | Nonsense


class _Hashtag(msgspec.Struct):
    text: str = ""


class _Entities(msgspec.Struct):
    hashtags: list[_Hashtag] | None = None


class _Extended(msgspec.Struct):
    full_text: str | None = None
    entities: _Entities | None = None


class _Author(msgspec.Struct):
    id_str: str | None = None
    id: int | str | None = None


class _Status(msgspec.Struct):
    """`text` may be cut at 140 characters; then the whole stands in `extended_tweet`, or is called `full_text`."""

    id_str: str | None = None
    id: int | str | None = None
    text: str | None = None
    full_text: str | None = None
    extended_tweet: _Extended | None = None
    entities: _Entities | None = None
    user: _Author | None = None
    retweeted_status: _Status | None = None
    timestamp_ms: int | str | None = None
    created_at: str | None = None
    edit_history: dict[str, Any] | None = None
    ext_edit_control: dict[str, Any] | None = None
    edit_history_tweet_ids: list[Any] | None = None
    limit: dict[str, Any] | None = None
    warning: dict[str, Any] | None = None
    disconnect: dict[str, Any] | None = None


class MessageReader:
    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Status)
        self._held = b""

    def read(self, line: bytes) -> Iterator[Message]:
        """The messages that end with this line, as it was cut: with its `\\r`. Blank lines keep the stream alive."""
        if not line.strip():
            return
        ended = line.endswith(b"\r")
        whole = self._decoded(self._held + b"\n" + line if self._held else line)
        if whole is None and self._held:  # what was held was nonsense; this line may be whole by itself
            whole = self._decoded(line)
            if whole is not None:
                yield Nonsense()
        if whole is not None:
            self._held = b""
            yield from _messages(whole)
        elif ended or len(self._held) + len(line) > LINE_BYTES_MAX or self._held.count(b"\n") >= LINES_HELD:
            self._held = b""
            yield Nonsense()
        else:
            self._held = self._held + b"\n" + line if self._held else line

    def _decoded(self, text: bytes) -> _Status | None:
        """None if it is no whole object. One of another form says nothing to us: Twitter may bring new messages."""
        try:
            return loosely(self._decoder.decode, text)
        except msgspec.ValidationError:
            return _Status()
        except UNREADABLE:
            return None


def _messages(status: _Status) -> Iterator[Message]:
    if status.limit is not None:
        yield Withheld(_number(status.limit.get("track")))
    elif status.disconnect is not None:
        yield Disconnect(_number(status.disconnect.get("code")))
    elif status.warning is not None:
        yield FallingBehind(_number(status.warning.get("percent_full")))
    elif (post := _post(status)) is not None:
        yield post


def _post(status: _Status) -> Post | None:
    """A repost says what the original says: its own text is a cut copy. A quote says only its own words."""
    id = status.id_str or str(status.id or "")
    original = status.retweeted_status or status
    text, entities = _whole(original)
    if not id or text is None or _first_id(status) not in ("", id):
        return None
    tags = tuple(tag.text for tag in (entities.hashtags if entities else None) or () if tag.text)
    author = status.user or _Author()
    return Post(
        id=id,
        text=unescaped(text),
        author=author.id_str or str(author.id or ""),
        tags=tags,
        is_repost=status.retweeted_status is not None,
        created_ms=_created_ms(status),
    )


def _first_id(status: _Status) -> str:
    """That of the first text, where a server tells it: an edited post has a new id. "" if it does not.

    Twitter's own stream did not; its other endpoints call it `ext_edit_control`, its archives `edit_history`, v2
    `edit_history_tweet_ids`.
    """
    control = status.ext_edit_control or {}
    for told in (status.edit_history, control.get("edit"), control.get("initial")):
        if isinstance(told, dict):
            ids = told.get("edit_tweet_ids")
            first = told.get("initial_tweet_id") or (ids[0] if isinstance(ids, list) and ids else None)
            if first:
                return str(first)
    return str(status.edit_history_tweet_ids[0]) if status.edit_history_tweet_ids else ""


def _whole(status: _Status) -> tuple[str | None, _Entities | None]:
    extended = status.extended_tweet
    if extended is not None and extended.full_text is not None:
        return extended.full_text, extended.entities or status.entities
    return (status.text if status.full_text is None else status.full_text), status.entities


def _created_ms(status: _Status) -> int:
    if status.timestamp_ms is not None:
        return _number(status.timestamp_ms)
    try:  # "Wed Aug 27 13:08:45 +0000 2008"
        return timegm(time.strptime(status.created_at or "", "%a %b %d %H:%M:%S +0000 %Y")) * 1_000
    except ValueError:
        return 0


def _number(value: Any) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        return 0
