"""From JSON to votes, for everything that takes votes as bytes: HTTP, queues, files.

Each vote is checked alone: a vote that makes no sense is refused by itself, at its place, in words. A body that cannot
be read at all raises the error of its decoding (msgspec.DecodeError, UnicodeDecodeError, RecursionError). The caller
knows the sender, so the caller puts it into words. Types are strict: weight 1.5, "1" and true are no whole numbers.

Most bodies are plain: ASCII without escapes, and such texts need no more than the decoder's checks. Of other bodies
most are many votes for few options with short ASCII ids: their texts are checked as sets and as one joined string. What
has anything else in it is checked vote by vote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from quorate.errors import Invalid, QuorateError, TooLarge
from quorate.vote import (
    ID_BYTES_MAX,
    OPTION_BYTES_MAX,
    VOTES_PER_REQUEST_MAX,
    WEIGHT_MAX,
    Vote,
    check_text,
    check_vote,
)
from quorate.words import count

TEXTS_CACHED = 20_000
FIELDS = "Fields: option (text), id, poll (text), weight (whole number), first_only (true or false)"
FEW = 8  # with fewer votes than this, sets and a joined string cost more than they save

What = Literal["request", "message"]  # how errors call what the votes came in


class _Strict(Vote, forbid_unknown_fields=True, gc=False):
    """A vote whose types, lengths and weight are checked by the decoder itself."""

    option: Annotated[str, msgspec.Meta(min_length=1, max_length=OPTION_BYTES_MAX)]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_BYTES_MAX)] | None = None
    poll: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_BYTES_MAX)] | None = None
    weight: Annotated[int, msgspec.Meta(ge=1, le=WEIGHT_MAX)] = 1


_one = msgspec.json.Decoder(_Strict)
_many = msgspec.json.Decoder(list[_Strict])
_loose = msgspec.json.Decoder(Vote)
_raw = msgspec.json.Decoder(msgspec.Raw)
_raws = msgspec.json.Decoder(list[msgspec.Raw])


class TakesLong(Exception):
    """More votes than the caller allows (`alone_max`) have to be read one by one. If all are refused, that takes fifty
    times as long as if all are good."""


@dataclass(frozen=True, slots=True)
class BadVote:
    """One vote of a body that can never count, as it was sent."""

    index: int
    reason: Literal["invalid", "too_large"]
    detail: str
    raw: bytes


@dataclass(slots=True)
class DecodedVotes:
    votes: list[Vote]
    places: list[int] | None = None  # the place of each of `votes` in the body, if some were refused
    refused: list[BadVote] = field(default_factory=list)


def read_one(body: bytes | msgspec.Raw) -> Vote:
    """Raises `Invalid` or `TooLarge` if the vote makes no sense."""
    try:
        return _normal(_one.decode(body))
    except msgspec.ValidationError:
        return _checked(body)


def read_array(
    body: bytes, what: What, votes_max: int = VOTES_PER_REQUEST_MAX, alone_max: int | None = None
) -> DecodedVotes:
    return _read(body, _many.decode, _raws.decode, what, votes_max, alone_max)


def read_lines(
    body: bytes, what: What, votes_max: int = VOTES_PER_REQUEST_MAX, alone_max: int | None = None
) -> DecodedVotes:
    return _read(body, _one.decode_lines, _raw.decode_lines, what, votes_max, alone_max)


def unreadable(error: UnicodeDecodeError | RecursionError, what: What) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"the {what} is not UTF-8"
    return f"the {what} is nested too deeply to be votes"


def _read(
    body: bytes,
    decode: Callable[[bytes], list[_Strict]],
    decode_raw: Callable[[bytes], list[msgspec.Raw]],
    what: What,
    votes_max: int,
    alone_max: int | None,
) -> DecodedVotes:
    try:
        votes: list[Vote] = [*decode(body)]
        _check_number(len(votes), what, votes_max)
        if not _is_plain(body) and (len(votes) < FEW or not _check_together(votes)):
            votes = [_normal(vote) for vote in votes]
    except (msgspec.ValidationError, QuorateError):
        raws = decode_raw(body)
        if alone_max is not None and len(raws) > alone_max:
            raise TakesLong from None
        return _read_each(raws, what, votes_max)
    return DecodedVotes(votes)


def _is_plain(body: bytes) -> bool:
    """Whether all its texts are in ASCII and without control characters. The decoder has checked their lengths.

    JSON has no control characters in a text but DEL, and those that are written with a backslash.
    """
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def _check_number(votes: int, what: What, votes_max: int) -> None:
    if not votes:
        raise Invalid(f"there is no vote in the {what}; give 1 to {votes_max:,}")
    if votes > votes_max:
        raise TooLarge(f"{count(votes, 'vote')} in one {what}; the limit is {votes_max:,}", limit=votes_max)


def _check_together(votes: list[Vote]) -> bool:
    """Check all votes at once and normalise them. False if they must be checked one by one."""
    ids = "".join([vote.id for vote in votes if vote.id is not None])
    if not (ids.isascii() and ids.isprintable()):
        return False
    options = {text: option(text) for text in {vote.option for vote in votes}}
    polls = {text: poll(text) for text in {vote.poll for vote in votes} if text is not None}
    if any(text != normal for text, normal in [*options.items(), *polls.items()]):
        for vote in votes:
            vote.option = options[vote.option]
            vote.poll = None if vote.poll is None else polls[vote.poll]
    return True


def _read_each(raws: list[msgspec.Raw], what: What, votes_max: int) -> DecodedVotes:
    _check_number(len(raws), what, votes_max)
    decoded, places = DecodedVotes([]), []
    for place, raw in enumerate(raws):
        try:
            vote = _checked(raw)
        except QuorateError as error:
            reason: Literal["invalid", "too_large"] = "too_large" if isinstance(error, TooLarge) else "invalid"
            decoded.refused.append(BadVote(place, reason, error.detail, bytes(raw)))
        else:
            decoded.votes.append(vote)
            places.append(place)
    decoded.places = places
    return decoded


def _checked(raw: bytes | msgspec.Raw) -> Vote:
    """The vote, normalised. Raises `Invalid` or `TooLarge`, in words."""
    try:
        return check_vote(_loose.decode(raw))
    except msgspec.ValidationError as error:
        raise Invalid(f"not a vote: {error}. {FIELDS}") from None


def _normal(vote: Vote) -> Vote:
    """`check_vote` for a vote that the decoder has let through. Most texts are short, ASCII, and were seen before."""
    vote.option = option(vote.option)
    id = vote.id
    if id is not None and not (id.isascii() and id.isprintable()):
        vote.id = check_text(id, "id", ID_BYTES_MAX)
    if vote.poll is not None:
        vote.poll = poll(vote.poll)
    return vote


class _Known(dict[str, str]):
    """`check_text` with a memory, because the same few texts come again and again. Refused texts are not remembered."""

    def __init__(self, what: str, bytes_max: int) -> None:
        super().__init__()
        self._what, self._bytes_max = what, bytes_max

    def __missing__(self, text: str) -> str:
        normal = check_text(text, self._what, self._bytes_max)
        if len(self) >= TEXTS_CACHED:
            self.clear()
        self[text] = normal
        return normal


option = _Known("option", OPTION_BYTES_MAX).__getitem__
poll = _Known("poll", ID_BYTES_MAX).__getitem__
