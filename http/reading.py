"""From the body of POST /votes to votes that may be submitted.

A document that cannot be read is an error of the whole request. A vote in it that makes no sense is refused by itself,
at its index, for each vote stands alone. Types are strict: weight 1.5, "1" and true are no whole numbers.

Two lanes: most batches are many votes for few options with short ASCII ids, and are checked as sets and one joined
string, a quarter of a microsecond a vote. A batch with anything else in it goes vote by vote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from quorate.cluster.gather import Rejection
from quorate.errors import Invalid, QuorateError, TooLarge, UnsupportedMedia
from quorate.vote import ID_BYTES_MAX, OPTION_BYTES_MAX, VOTES_PER_REQUEST_MAX, WEIGHT_MAX, Vote, check_text, check_vote

Form = Literal["json", "ndjson"]

# curl -d says form-urlencoded unless told otherwise; nobody means a form here.
FORMS: dict[str, Form] = {
    "": "json",
    "application/json": "json",
    "application/x-www-form-urlencoded": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}
TEXTS_CACHED = 20_000


class _Strict(Vote, forbid_unknown_fields=True):
    """A vote whose lengths and weight the decoder itself has checked."""

    option: Annotated[str, msgspec.Meta(min_length=1, max_length=OPTION_BYTES_MAX)]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_BYTES_MAX)] | None = None
    poll: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_BYTES_MAX)] | None = None
    weight: Annotated[int, msgspec.Meta(ge=1, le=WEIGHT_MAX)] = 1


class _JustId(msgspec.Struct):
    id: str | None = None


_one = msgspec.json.Decoder(_Strict)
_many = msgspec.json.Decoder(list[_Strict])
_loose = msgspec.json.Decoder(Vote)
_raw = msgspec.json.Decoder(msgspec.Raw)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_just_id = msgspec.json.Decoder(_JustId)


@dataclass(slots=True)
class Cast:
    """What a request asks to count."""

    votes: list[Vote]
    single: bool = False  # one object, not a list of one: its rejection is the answer's status
    places: list[int] | None = None  # where each of `votes` stood, if some were refused while reading
    refused: list[Rejection] = field(default_factory=list)


@lru_cache(maxsize=64)
def form_of(content_type: str) -> Form:
    form = FORMS.get(content_type.partition(";")[0].strip().lower())
    if form is None:
        raise UnsupportedMedia(
            f"{content_type[:100]!r} is not understood; send application/json or application/x-ndjson"
        )
    return form


def read_votes(body: bytes, form: Form, votes_max: int = VOTES_PER_REQUEST_MAX) -> Cast:
    """Raises `Invalid` or `TooLarge` for the document, and for the vote if it is a single one."""
    try:
        if form == "ndjson":
            return _read_many(body, _one.decode_lines, _raw.decode_lines, votes_max)
        if body.lstrip()[:1] == b"[":
            return _read_many(body, _many.decode, _raws.decode, votes_max)
        return Cast([_read_one(body)], single=True)
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply to be votes") from None
    except msgspec.DecodeError as error:
        raise Invalid(_malformed(body, form, error)) from None


def _read_one(body: bytes) -> Vote:
    try:
        vote = _one.decode(body)
    except msgspec.ValidationError:
        return _checked(body)
    vote.option = _option(vote.option)
    if vote.id is not None and not (vote.id.isascii() and vote.id.isprintable()):
        vote.id = check_text(vote.id, "id", ID_BYTES_MAX)
    if vote.poll is not None:
        vote.poll = _poll(vote.poll)
    return vote


def _read_many(
    body: bytes,
    decode: Callable[[bytes], list[_Strict]],
    decode_raw: Callable[[bytes], list[msgspec.Raw]],
    votes_max: int,
) -> Cast:
    try:
        votes: list[Vote] = [*decode(body)]
    except msgspec.ValidationError:
        pass
    else:
        _check_number(len(votes), votes_max)
        if _check_together(votes):
            return Cast(votes)
    return _read_each(decode_raw(body), votes_max)


def _check_number(votes: int, votes_max: int) -> None:
    if not votes:
        raise Invalid(f"there is no vote in the body; give 1 to {votes_max:,}")
    if votes > votes_max:
        raise TooLarge(f"{votes:,} votes in one request; the limit is {votes_max:,}", limit=votes_max)


def _check_together(votes: list[Vote]) -> bool:
    """Whether all votes are fine, normalised; False if that must be found out one by one."""
    ids = "".join([vote.id for vote in votes if vote.id is not None])
    if not (ids.isascii() and ids.isprintable()):
        return False
    try:
        options = {text: _option(text) for text in {vote.option for vote in votes}}
        polls = {text: _poll(text) for text in {vote.poll for vote in votes} if text is not None}
    except QuorateError:
        return False
    if any(text != normal for text, normal in [*options.items(), *polls.items()]):
        for vote in votes:
            vote.option = options[vote.option]
            vote.poll = None if vote.poll is None else polls[vote.poll]
    return True


def _read_each(raws: list[msgspec.Raw], votes_max: int) -> Cast:
    _check_number(len(raws), votes_max)
    cast = Cast([], places=[])
    assert cast.places is not None
    for place, raw in enumerate(raws):
        try:
            vote = _checked(raw)
        except QuorateError as error:
            reason = "too_large" if isinstance(error, TooLarge) else "invalid"
            cast.refused.append(Rejection(place, _id_of(raw), reason, error.detail))
        else:
            cast.votes.append(vote)
            cast.places.append(place)
    return cast


def _checked(raw: bytes | msgspec.Raw) -> Vote:
    """The vote, or in words why not."""
    try:
        return check_vote(_loose.decode(raw))
    except msgspec.ValidationError as error:
        raise Invalid(f"not a vote: {error}. Fields: option (text), id, poll (text), weight (whole number)") from None


def _id_of(raw: msgspec.Raw) -> str | None:
    try:
        return _just_id.decode(raw).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class _Known:
    """`check_text`, remembered: the same few texts come again and again. What is refused is not remembered."""

    def __init__(self, what: str, bytes_max: int) -> None:
        self._what, self._bytes_max = what, bytes_max
        self._texts: dict[str, str] = {}

    def normal(self, text: str) -> str:
        known = self._texts.get(text)
        if known is None:
            known = check_text(text, self._what, self._bytes_max)
            if len(self._texts) >= TEXTS_CACHED:
                self._texts.clear()
            self._texts[text] = known
        return known


_option = _Known("option", OPTION_BYTES_MAX).normal
_poll = _Known("poll", ID_BYTES_MAX).normal


def _malformed(body: bytes, form: Form, error: msgspec.DecodeError) -> str:
    if form == "ndjson":
        for number, line in enumerate(body.split(b"\n"), 1):
            try:
                if line.strip():
                    _raw.decode(line)
            except msgspec.DecodeError as here:
                return f"line {number}: {here}"
    hint = "; for one vote a line send application/x-ndjson" if "trailing" in str(error) else ""
    return f"{error}{hint}" if body else "the body is empty; send a vote as JSON"
