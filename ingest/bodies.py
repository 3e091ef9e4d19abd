"""From the body of a queue's message to votes.

A body is one of: an option as plain text, a vote in JSON, a JSON array of votes, or one vote a line (NDJSON). What
begins with { or [ is JSON; an option that does so itself must be sent in JSON. A body that cannot be read is an error
of the whole message. A vote in it that makes no sense is refused by itself, at its index: each vote stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from quorate.errors import Invalid, QuorateError, TooLarge
from quorate.vote import (
    ID_BYTES_MAX,
    OPTION_BYTES_MAX,
    REQUEST_BYTES_MAX,
    VOTES_PER_REQUEST_MAX,
    WEIGHT_MAX,
    Vote,
    check_text,
    check_vote,
)

TEXTS_CACHED = 20_000


class _Strict(Vote, forbid_unknown_fields=True):
    """A vote whose types, lengths and weight the decoder itself has checked."""

    option: Annotated[str, msgspec.Meta(min_length=1, max_length=OPTION_BYTES_MAX)]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_BYTES_MAX)] | None = None
    poll: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_BYTES_MAX)] | None = None
    weight: Annotated[int, msgspec.Meta(ge=1, le=WEIGHT_MAX)] = 1


_one = msgspec.json.Decoder(_Strict).decode
_many = msgspec.json.Decoder(list[_Strict]).decode
_lines = msgspec.json.Decoder(_Strict).decode_lines
_loose = msgspec.json.Decoder(Vote).decode
_raw_many = msgspec.json.Decoder(list[msgspec.Raw]).decode
_raw_lines = msgspec.json.Decoder(msgspec.Raw).decode_lines


@dataclass(frozen=True, slots=True)
class Refused:
    """One vote of a body that can never count, as it stood there."""

    index: int
    reason: Literal["invalid", "too_large"]
    detail: str
    raw: bytes


@dataclass(slots=True)
class Body:
    votes: list[Vote]
    indexes: list[int] | None = None  # where each of `votes` stood, if some were refused
    refused: list[Refused] = field(default_factory=list)


def read_body(body: bytes) -> Body:
    """Raises `Invalid` or `TooLarge` when the whole message is of no use."""
    if len(body) > REQUEST_BYTES_MAX:
        raise TooLarge(f"the message has {len(body):,} bytes; the limit is {REQUEST_BYTES_MAX:,}")
    first = body[:1] if body[:1] in (b"{", b"[") else body.lstrip()[:1]
    try:
        if first == b"{":
            return _objects(body)
        if first == b"[":
            return _array(body)
        return Body([Vote(_option(body.rstrip(b"\r\n").decode()))])
    except UnicodeDecodeError:
        raise Invalid("the message is not UTF-8") from None
    except RecursionError:
        raise Invalid("the message is nested too deeply to be votes") from None
    except msgspec.DecodeError as error:
        raise Invalid(f"the message is no vote in JSON: {error}") from None


def _objects(body: bytes) -> Body:
    try:
        return Body([_normal(_one(body))])
    except (msgspec.DecodeError, QuorateError):
        lines = _raw_lines(body)  # one vote with something wrong in it, or several votes
    if len(lines) > 1:
        try:
            return _counted([_normal(vote) for vote in _lines(body)])
        except (msgspec.ValidationError, QuorateError):
            pass
    return _each(lines)


def _array(body: bytes) -> Body:
    try:
        return _counted([_normal(vote) for vote in _many(body)])
    except (msgspec.ValidationError, QuorateError):
        return _each(_raw_many(body))


def _counted(votes: list[Vote]) -> Body:
    _check_number(len(votes))
    return Body(votes)


def _check_number(votes: int) -> None:
    if not votes:
        raise Invalid(f"there is no vote in the message; give 1 to {VOTES_PER_REQUEST_MAX:,}")
    if votes > VOTES_PER_REQUEST_MAX:
        raise TooLarge(f"{votes:,} votes in one message; the limit is {VOTES_PER_REQUEST_MAX:,}")


def _each(raws: list[msgspec.Raw]) -> Body:
    """Vote by vote. If none is good, the message as a whole is none."""
    _check_number(len(raws))
    body = Body([], [])
    assert body.indexes is not None
    for index, raw in enumerate(raws):
        try:
            vote = _checked(raw)
        except QuorateError as error:
            reason: Literal["invalid", "too_large"] = "too_large" if isinstance(error, TooLarge) else "invalid"
            body.refused.append(Refused(index, reason, error.detail, bytes(raw)))
        else:
            body.votes.append(vote)
            body.indexes.append(index)
    if not body.votes:
        raise (
            TooLarge(body.refused[0].detail)
            if body.refused[0].reason == "too_large"
            else Invalid(body.refused[0].detail)
        )
    return body


def _checked(raw: msgspec.Raw) -> Vote:
    try:
        return check_vote(_loose(raw))
    except msgspec.ValidationError as error:
        raise Invalid(f"not a vote: {error}. Fields: option (text), id, poll (text), weight (whole number)") from None


def _normal(vote: Vote) -> Vote:
    """`check_vote` for what the decoder has let through. Most texts are short, ASCII, and have been seen before."""
    vote.option = _option(vote.option)
    id = vote.id
    if id is not None and not (id.isascii() and id.isprintable()):
        vote.id = check_text(id, "id", ID_BYTES_MAX)
    if vote.poll is not None:
        vote.poll = _poll(vote.poll)
    return vote


class _Known(dict[str, str]):
    """`check_text`, remembered. What is refused is not remembered."""

    def __init__(self, what: str, bytes_max: int) -> None:
        super().__init__()
        self._what, self._bytes_max = what, bytes_max

    def __missing__(self, text: str) -> str:
        normal = check_text(text, self._what, self._bytes_max)
        if len(self) >= TEXTS_CACHED:
            self.clear()
        self[text] = normal
        return normal


_option = _Known("option", OPTION_BYTES_MAX).__getitem__
_poll = _Known("poll", ID_BYTES_MAX).__getitem__
