"""A post of Mastodon ("status") as a post.

Its id and its author are those of the whole federation (`uri`, `account.uri`), so that a post read at two instances is
one. Its text is the content warning and the content, without markup; descriptions of media and polls are left out.
"""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from quorate.ingest.social.networks.mastodon.status_ids import ID_CHARACTERS_MAX
from quorate.ingest.social.post import Post
from quorate.ingest.social.reading.html_text import html_text
from quorate.ingest.social.reading.loose_json import loosely
from quorate.unreadable import UNREADABLE

Status = dict[str, Any]
SEEN_BY_ALL = ("", "public", "unlisted")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def read_status(data: bytes) -> Status | None:
    """None if it is none."""
    try:
        status = loosely(_decode, data)
    except UNREADABLE:
        return None
    return status if id_of(status) else None


def id_of(status: Status) -> str:
    """Its name at the instance, by which its feeds are read. "" if it has none."""
    id = _text(status, "id")
    return id if len(id) <= ID_CHARACTERS_MAX else ""


def is_edited(status: Status) -> bool:
    return bool(_text(status, "edited_at"))


def as_first_written(status: Status, history: object) -> Status | None:
    """The post before all edits, of what `/history` answers. None if that does not tell."""
    first = history[0] if isinstance(history, list) and history else None
    if not isinstance(first, dict) or not isinstance(first.get("content"), str):
        return None
    return {**status, "content": first["content"], "spoiler_text": first.get("spoiler_text"), "tags": []}


def post_of(status: Status, host: str) -> Post | None:
    """None if it is not for everybody."""
    if _text(status, "visibility") not in SEEN_BY_ALL:
        return None
    original = status.get("reblog")
    is_repost = isinstance(original, dict)
    content = original if isinstance(original, dict) else status
    parts = (html_text(_text(content, "spoiler_text")), html_text(_text(content, "content")))
    return Post(
        id=_text(status, "uri") or f"{host}/{id_of(status)}",
        text="\n".join(part for part in parts if part),
        author=_author(status, host),
        tags=_tags(content),
        is_repost=is_repost,
        created_ms=_ms(_text(status, "created_at")),
    )


def _author(status: Status, host: str) -> str:
    account = status.get("account")
    if not isinstance(account, dict):
        return ""
    name = _text(account, "acct") or _text(account, "id")
    return _text(account, "uri") or _text(account, "url") or (f"{host}/{name}" if name else "")


def _tags(status: Status) -> tuple[str, ...]:
    tags = status.get("tags")
    names = [_text(tag, "name") for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []
    return tuple(dict.fromkeys(name for name in names if name))


def _ms(moment: str) -> int:
    try:
        return int(datetime.datetime.fromisoformat(moment).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
