"""Events of Nostr, and what relays say about subscriptions (NIP-01, NIP-67)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from quorate.ingest.social.post import Post
from quorate.unreadable import UNREADABLE

NOTE = 1
MUST_ESCAPE = str.maketrans({"\n": "\\n", '"': '\\"', "\\": "\\\\", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"})


class NostrEvent(msgspec.Struct):
    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: list[list[str]]
    content: str

    def is_what_its_id_says(self) -> bool:
        """An id is the hash of all that the author signed. So a relay cannot have one text vote under many ids."""
        return hashlib.sha256(self._signed().encode("utf-8", "surrogatepass")).hexdigest() == self.id

    def _signed(self) -> str:
        tags = ",".join("[" + ",".join(map(_text, tag)) + "]" for tag in self.tags)
        return f"[0,{_text(self.pubkey)},{self.created_at},{self.kind},[{tags}],{_text(self.content)}]"

    def post(self) -> Post:
        hashtags = tuple(tag[1] for tag in self.tags if len(tag) > 1 and tag[0] == "t")
        return Post(self.id, self.content, self.pubkey, hashtags, created_ms=self.created_at * 1000)


def _text(text: str) -> str:
    """As NIP-01 writes it: seven characters are escaped, and all others stand as they are."""
    return f'"{text.translate(MUST_ESCAPE)}"'


@dataclass(frozen=True, slots=True)
class HeardNote:
    subscription: str
    event: NostrEvent


@dataclass(frozen=True, slots=True)
class StoredEnds:
    """All that the relay sends of what it had stored has come. `is_all`: it says that it had no more."""

    subscription: str
    is_all: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """The relay ends a subscription. `reason` is the word before the colon: rate-limited, auth-required …."""

    subscription: str
    reason: str


@dataclass(frozen=True, slots=True)
class Other:
    """NOTICE, OK, AUTH, events that are no notes, and what is none of Nostr: nothing depends on it."""

    is_nostr: bool


@dataclass(frozen=True, slots=True)
class UnreadableNote:
    """An event that is not as NIP-01 has it."""


RelayMessage = HeardNote | StoredEnds | Closed | Other | UnreadableNote

_message = msgspec.json.Decoder(list[msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_event = msgspec.json.Decoder(NostrEvent).decode


def read_message(data: bytes) -> RelayMessage:
    try:
        parts = _message(data)
        kind = _string(parts[0])
        if kind == "EVENT":
            return _note(_string(parts[1]), parts[2])
        if kind == "EOSE":
            return StoredEnds(_string(parts[1]), len(parts) > 2 and _string(parts[2]) == "finish")
        if kind == "CLOSED":
            return Closed(_string(parts[1]), _reason(parts[2:]))
        return Other(is_nostr=kind in ("NOTICE", "OK", "AUTH", "COUNT"))
    except (*UNREADABLE, IndexError):
        return Other(is_nostr=False)


def _note(subscription: str, event: msgspec.Raw) -> RelayMessage:
    try:
        read = _event(event)
    except UNREADABLE:
        return UnreadableNote()
    return HeardNote(subscription, read) if read.kind == NOTE else Other(is_nostr=True)  # nothing else was asked for


def _reason(rest: Sequence[msgspec.Raw]) -> str:
    return _string(rest[0]).partition(":")[0].strip() if rest else ""


def request(subscription: str, filters: Sequence[dict[str, Any]]) -> str:
    return json.dumps(["REQ", subscription, *filters])


def close(subscription: str) -> str:
    return json.dumps(["CLOSE", subscription])
