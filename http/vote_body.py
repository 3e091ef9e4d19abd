"""From the body of POST /votes to votes that can be submitted.

`quorate.vote_json` decodes the votes. This module knows what a content type means, and which errors refuse the request
and which only one vote.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import msgspec

from quorate.errors import Invalid, UnsupportedMedia
from quorate.vote import VOTES_PER_REQUEST_MAX, Rejection, Vote
from quorate.vote_json import BadVote, DecodedVotes, TakesLong, read_array, read_lines, read_one, unreadable

Form = Literal["json", "ndjson"]

# `curl -d` sends application/x-www-form-urlencoded by default. Nobody sends a form here, so it is read as JSON.
FORMS: dict[str, Form] = {
    "": "json",
    "application/json": "json",
    "application/x-www-form-urlencoded": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}


class _JustId(msgspec.Struct):
    id: str | None = None


_raw = msgspec.json.Decoder(msgspec.Raw)
_just_id = msgspec.json.Decoder(_JustId)


@dataclass(slots=True)
class ParsedVotes:
    """The votes of a request."""

    votes: list[Vote]
    single: bool = False  # an object, not a list: if the vote is rejected, the status of the answer says why
    places: list[int] | None = None  # the index of each vote in the request, if others were refused
    refused: list[Rejection] = field(default_factory=list)


@lru_cache(maxsize=64)
def form_of(content_type: str) -> Form:
    form = FORMS.get(content_type.partition(";")[0].strip().lower())
    if form is None:
        raise UnsupportedMedia(
            f"{content_type[:100]!r} is not understood; send application/json or application/x-ndjson"
        )
    return form


def read_votes(
    body: bytes, form: Form, votes_max: int = VOTES_PER_REQUEST_MAX, alone_max: int | None = None
) -> ParsedVotes:
    """Raises `Invalid` or `TooLarge` if the document cannot be read, or if its only vote is bad; `TakesLong`."""
    try:
        if form == "ndjson":
            return _parsed(read_lines(body, "request", votes_max, alone_max))
        if body.lstrip()[:1] == b"[":
            return _parsed(read_array(body, "request", votes_max, alone_max))
        return ParsedVotes([read_one(body)], single=True)
    except (UnicodeDecodeError, RecursionError) as error:
        raise Invalid(unreadable(error, "request")) from None
    except msgspec.DecodeError as error:
        if alone_max is not None and body.count(b"\n") > alone_max:
            raise TakesLong from None
        raise Invalid(_malformed(body, form, error)) from None


def _parsed(decoded: DecodedVotes) -> ParsedVotes:
    return ParsedVotes(decoded.votes, places=decoded.places, refused=[_rejection(vote) for vote in decoded.refused])


def _rejection(refused: BadVote) -> Rejection:
    return Rejection(refused.index, _id_of(refused.raw), refused.reason, refused.detail)


def _id_of(raw: bytes) -> str | None:
    try:
        return _just_id.decode(raw).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _malformed(body: bytes, form: Form, error: msgspec.DecodeError) -> str:
    if form == "ndjson":
        for number, line in enumerate(body.split(b"\n"), 1):
            try:
                if line.strip():
                    _raw.decode(line)
            except msgspec.DecodeError as here:
                return f"line {number}: {_in_words(here)}"
    hint = "; for one vote a line send application/x-ndjson" if "trailing" in str(error) else ""
    return f"{_in_words(error)}{hint}" if body else "the body is empty; send a vote as JSON"


def _in_words(error: msgspec.DecodeError) -> str:
    return str(error).replace(
        "Input data was truncated", "the JSON is truncated: a brace, bracket or quote is not closed"
    )
