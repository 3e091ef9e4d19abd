"""Count votes, and open the sessions of producers.

There are three ways to count exactly once: an id on each vote (each vote stands alone), one Idempotency-Key for the
request, or a batch of a producer session (all votes or none). A request uses one of them: with two, the same votes
could be counted once under each.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec

from quorate.crash_points import crash_point
from quorate.doors.bounds import check_producers, check_votes, own_name
from quorate.doors.caller_places import holder_of
from quorate.doors.rates import take_votes
from quorate.errors import (
    Conflict,
    Deleted,
    ExpiredId,
    Invalid,
    PollClosed,
    QuorateError,
    Rejected,
    TooLarge,
    UnknownOption,
    UnknownPoll,
)
from quorate.http.api import Api
from quorate.http.big_votes import SMALL_BYTES
from quorate.http.json_body import reader
from quorate.http.operation import Operation
from quorate.http.parse_pool import BIG_BYTES
from quorate.http.refusals import REFUSALS_A_REQUEST
from quorate.http.reply import Reply, problem, reply
from quorate.http.request import Request
from quorate.http.vote_body import ParsedVotes, form_of, read_votes
from quorate.vote import (
    ID_BYTES_MAX,
    REQUEST_BYTES_MAX,
    VOTES_PER_REQUEST_MAX,
    Rejection,
    Tallied,
    Vote,
    check_name,
    check_text,
)
from quorate.vote_json import TakesLong

ALONE_MAX = 1_000  # votes that are read one by one on the loop: three milliseconds, if all are refused
SESSION = re.compile(r"(?P<producer>.+);\s*epoch=(?P<epoch>\d{1,18});\s*sequence=(?P<sequence>\d{1,18})", re.ASCII)

REASONS: dict[str, type[QuorateError]] = {
    "conflict": Conflict,
    "unknown_option": UnknownOption,
    "unknown_poll": UnknownPoll,
    "closed": PollClosed,
    "expired_id": ExpiredId,
    "too_large": TooLarge,
    "invalid": Invalid,
    "deleted": Deleted,
}


CAST = Operation(
    "Count one vote, or several",
    Tallied,
    [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "maxLength": 128},
            "description": "the id of a single vote; on several votes without ids: all or nothing, counted once",
        },
        {
            "name": "X-Quorate-Producer",
            "in": "header",
            "schema": {"type": "string", "examples": ["feeder;epoch=1;sequence=1"]},
            "description": "a batch of a producer session: all or nothing, counted once, until it is forgotten",
        },
    ],
    {
        "application/json": {
            "oneOf": [Vote, {"type": "array", "items": Vote, "minItems": 1, "maxItems": VOTES_PER_REQUEST_MAX}]
        },
        "application/x-ndjson": Vote,
    },
    f"Up to {VOTES_PER_REQUEST_MAX:,} votes and {REQUEST_BYTES_MAX:,} bytes. Each vote stands alone, "
    "unless all are counted as a whole; then they count at one version, otherwise at that of the answer or before it. "
    "A single vote that is rejected answers with its reason's status.",
)
OPEN_PRODUCER = Operation(
    "Open a producer session, or take it over with a new epoch",
    body={
        "application/json": {
            "type": "object",
            "required": ["producer"],
            "properties": {"producer": {"type": "string"}, "new": {"type": "boolean", "default": False}},
        }
    },
    words="A name that was forgotten answers 410, because what it sent may be counted. `new` opens it all the same.",
)


async def cast(api: Api, request: Request) -> Reply:
    """POST /votes: read the votes, submit them, answer."""
    size = len(request.body)
    if size <= SMALL_BYTES:
        return await _cast(api, request)
    return await api.big_votes.cast(partial(_cast, api, request), size, api.limits.timeout_s, holder_of(request.caller))


async def _cast(api: Api, request: Request) -> Reply:
    parsed = await _read(api, request)
    _admit(request, parsed)
    try:
        tallied = await _submit(api, request, parsed)
    except Rejected as error:
        if not parsed.refused:  # those that could not be read say why already
            error.fields["rejected"] = rejected = msgspec.convert(error.fields["rejected"], list[Rejection])
            await _explain(api, request, parsed, rejected)
        raise
    crash_point("answer-before-send")
    return await told(api, request, parsed, tallied)


def read_plain(api: Api, request: Request) -> ParsedVotes | None:
    """The votes of a small request, which may be cast with those of other requests. None: the request is counted in
    another way than by an id on each vote, or has a vote that is refused already.

    Raises what `cast` does.
    """
    if request.idempotency_key is not None or request.producer is not None:
        return None
    parsed = read_votes(request.body, form_of(request.content_type), api.limits.votes)
    if parsed.refused:
        return None
    _admit(request, parsed)
    return parsed


async def told(api: Api, request: Request, parsed: ParsedVotes, tallied: Tallied) -> Reply:
    """The answer to votes that were submitted."""
    await _explain(api, request, parsed, tallied.rejected)
    return _answer(api, request, parsed, tallied)


def _admit(request: Request, parsed: ParsedVotes) -> None:
    """Raises an error if this caller may not send these votes, or not now."""
    if request.caller.bucket is not None:
        take_votes(request.caller, len(parsed.votes) + len(parsed.refused))
    check_votes(request.caller, parsed.votes, parsed.places)


async def _explain(api: Api, request: Request, parsed: ParsedVotes, rejected: list[Rejection]) -> None:
    """Name in the first rejections what was asked for, and what is near. Their indexes are those of `parsed.votes`.

    Beside polls of thousands of options each takes a millisecond, so the loop does other things between two.
    """
    for place, rejection in enumerate(rejected[:REFUSALS_A_REQUEST]):
        if place:
            await asyncio.sleep(0)
        if request.caller.polls is not None and rejection.reason == "unknown_poll":
            continue  # a token that is bound to polls is told of no others
        words = api.refusals.of(api.replica.state, parsed.votes[rejection.index], rejection.reason)
        rejection.detail = words or rejection.detail


async def open_producer(api: Api, request: Request) -> Reply:
    """POST /producers: open a session, or take it over with a new epoch."""
    (producer, anew), caller = _read_producer(request.body), request.caller
    name, timeout_s = own_name(caller, producer), api.limits.timeout_s
    check_producers(caller, name, api.replica.state)
    opened, version = await api.submitter.open_producer(name, timeout_s=timeout_s, anew=anew)
    crash_point("session-opened")
    session = {"producer": producer, "epoch": opened.epoch, "sequence": opened.sequence}
    return reply(session | ({"owner": caller.name} if caller.token else {}), version=version)


async def _read(api: Api, request: Request) -> ParsedVotes:
    body, form, votes_max = request.body, form_of(request.content_type), api.limits.votes
    if len(body) < BIG_BYTES:
        with contextlib.suppress(TakesLong):
            return read_votes(body, form, votes_max, ALONE_MAX)
    return await api.parse_pool.on_thread(lambda body: read_votes(body, form, votes_max), body)


def _submit(api: Api, request: Request, parsed: ParsedVotes) -> Coroutine[Any, Any, Tallied]:
    submitter, timeout_s, share = api.submitter, api.limits.timeout_s, request.caller.share
    if request.producer is not None:
        producer, epoch, sequence = _read_session(request)
        return submitter.cast_session(producer, epoch, sequence, _whole(parsed), timeout_s=timeout_s)
    if request.idempotency_key is None:
        return submitter.cast(parsed.votes, timeout_s=timeout_s, share=share) if parsed.votes else _nothing(api)
    key = check_text(request.idempotency_key, "Idempotency-Key", ID_BYTES_MAX)
    if not parsed.single:
        return submitter.cast_once(key, _whole(parsed), timeout_s=timeout_s, share=share)
    vote = parsed.votes[0]
    if vote.id not in (None, key):
        raise Invalid("the vote has an id and Idempotency-Key gives another; give one of them")
    vote.id = key
    return submitter.cast(parsed.votes, timeout_s=timeout_s, share=share)


async def _nothing(api: Api) -> Tallied:
    """The result if the request has no valid vote."""
    return Tallied(0, 0, [], api.replica.state.version)


def _whole(parsed: ParsedVotes) -> list[Any]:
    """The votes of a request that counts completely or not at all."""
    if parsed.refused:
        raise Rejected(
            "a vote of this request makes no sense, so none was counted; correct it and send it again",
            rejected=parsed.refused,
        )
    if any(vote.id is not None or vote.first_only for vote in parsed.votes):
        raise Invalid(
            "the request is counted as a whole, so its votes have no ids of their own: leave out ids and first_only, "
            "or send it without Idempotency-Key and X-Quorate-Producer"
        )
    return parsed.votes


def _answer(api: Api, request: Request, parsed: ParsedVotes, tallied: Tallied) -> Reply:
    counts = api.counts
    counts.applied += tallied.applied
    counts.duplicates += tallied.duplicates
    if parsed.refused or tallied.rejected:
        tallied.rejected = _all_rejected(parsed, tallied)
        for reason, votes in Counter([rejection.reason for rejection in tallied.rejected]).items():
            counts.rejected[reason] = counts.rejected.get(reason, 0) + votes
        if parsed.single:
            return problem(_reason(tallied.rejected[0]), request.path, version=tallied.version)
    return reply(tallied, version=tallied.version)


def _all_rejected(parsed: ParsedVotes, tallied: Tallied) -> list[Rejection]:
    """The votes that could not be read and those that the cluster rejected, with their index in the request."""
    if parsed.places is not None:
        for rejection in tallied.rejected:
            rejection.index = parsed.places[rejection.index]
    if not parsed.refused:
        return tallied.rejected
    return sorted([*parsed.refused, *tallied.rejected], key=lambda rejection: rejection.index)


def _reason(rejection: Rejection) -> QuorateError:
    return REASONS.get(rejection.reason, Invalid)(rejection.detail, reason=rejection.reason, id=rejection.id)


class _OpenProducer(msgspec.Struct, forbid_unknown_fields=True):
    producer: str
    new: bool = False


_decode_producer = reader(_OpenProducer)


def _read_producer(body: bytes) -> tuple[str, bool]:
    try:
        wanted = _decode_producer(body)
        return check_name(wanted.producer, "producer", ID_BYTES_MAX), wanted.new
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f'{error}; send {{"producer": "name"}}') from None


def _read_session(request: Request) -> tuple[str, int, int]:
    if request.idempotency_key is not None:
        raise Invalid("X-Quorate-Producer and Idempotency-Key do not go together: send one of them")
    match = SESSION.fullmatch(request.producer or "")
    if match is None:
        raise Invalid("X-Quorate-Producer is not of the form NAME;epoch=1;sequence=1")
    producer = own_name(request.caller, check_text(match["producer"], "producer", ID_BYTES_MAX))
    return producer, int(match["epoch"]), int(match["sequence"])
