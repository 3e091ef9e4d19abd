"""Create polls, show one, and move it to another state. The list of all is in `poll_list.py`.

The id of a poll is part of addresses, so a new poll cannot have a slash in its id. Polls that were imported from a sink
may have one, and are found. Times are RFC 3339 with an offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from quorate.cluster.entry import CreatePoll, PollResult, State
from quorate.cluster.state.polls import TRANSITIONS, PollView
from quorate.errors import BadTransition, Conflict, Invalid, QuorateError, TooLarge, UnknownPoll
from quorate.http.api import Api
from quorate.http.consistency import CONSISTENCY, PARAMETERS, read_consistency, within
from quorate.http.operation import ID, Operation
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, read_query
from quorate.http.vote_body import form_of
from quorate.vote import (
    ID_BYTES_MAX,
    OPTION_BYTES_MAX,
    OPTION_TEXT_PER_POLL_BYTES_MAX,
    OPTIONS_PER_POLL_MAX,
    TITLE_BYTES_MAX,
    YEAR_9999_MS,
    check_text,
)

STATES = tuple(TRANSITIONS)
NOT_IN_ADDRESSES = (".", "..")  # clients resolve these before they send the request


class NewPoll(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    options: list[str] = []
    title: str = ""
    state: State = "open"
    closes_at: datetime | None = None
    write_ins: bool = False


class NewState(msgspec.Struct, forbid_unknown_fields=True):
    state: State


_decode_poll = msgspec.json.Decoder(NewPoll).decode
_decode_state = msgspec.json.Decoder(NewState).decode

REFUSALS: Mapping[str, type[QuorateError]] = {
    "conflict": Conflict,
    "unknown_poll": UnknownPoll,
    "bad_transition": BadTransition,
    "too_large": TooLarge,
}


CREATE = Operation(
    "Create a poll",
    body={"application/json": NewPoll},
    words=f"2 to {OPTIONS_PER_POLL_MAX:,} options. The same again answers 200; another poll with that id 409.",
    responses={"201": {"description": "created", "headers": {"Location": {"schema": {"type": "string"}}}}},
)
SET_STATE = Operation(
    "Move a poll along: draft, open, closed, open again …, archived",
    parameters=[ID],
    body={"application/json": NewState},
)
SHOW = Operation("A poll's definition", parameters=[ID, *PARAMETERS])


async def create(api: Api, request: Request) -> Reply:
    """POST /polls: 201 if the poll is new, 200 if the same poll exists already."""
    poll = await api.parse_pool.parse(lambda body: read_poll(body, request.content_type), request.body)
    result, version = await api.submitter.create_poll(poll, timeout_s=api.limits.timeout_s)
    _refuse(result, poll.id)
    answer = reply(
        _show_created(poll, result, version), status=201 if result.what == "created" else 200, version=version
    )
    answer.more = ((b"location", f"/polls/{quote(poll.id, safe='')}".encode()),)
    return answer


async def set_state(api: Api, request: Request, poll_id: str) -> Reply:
    """POST /polls/ID/state."""
    try:
        state = _decode_state(request.body).state
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f'{error}; send {{"state": "closed"}}, one of {", ".join(STATES)}') from None
    result, version = await api.submitter.set_poll_state(poll_id, state, timeout_s=api.limits.timeout_s)
    _refuse(result, poll_id, wanted=state)
    return reply({"id": poll_id, "state": state, "before": result.before, "version": version}, version=version)


async def show(api: Api, request: Request, poll_id: str) -> Reply:
    """GET /polls/ID."""
    consistency = read_consistency(read_query(request.query, CONSISTENCY), api.limits.wait_max_s)
    read = api.reads.poll(
        poll_id, level=consistency.level, min_version=consistency.min_version, wait_s=consistency.wait_s
    )
    found = await within(consistency, read)
    return reply(show_poll(found.value), version=found.version)


def show_poll(poll: PollView) -> dict[str, Any]:
    return {
        "id": poll.id,
        "title": poll.title,
        "options": poll.options,
        "state": poll.state,
        "closes_at": _show_time(poll.closes_at_ms),
        "write_ins": poll.write_ins,
        "created_at": _show_time(poll.created_ms),
        "version": poll.version,
    }


def _show_created(poll: CreatePoll, result: PollResult, version: int) -> dict[str, Any]:
    return {
        "id": poll.id,
        "title": poll.title,
        "options": poll.options,
        "state": result.before or poll.state,  # an existing poll may be in another state by now
        "closes_at": _show_time(poll.closes_at_ms),
        "write_ins": poll.write_ins,
        "version": version,
    }


def _show_time(time_ms: int | None) -> str | None:
    if time_ms is None:
        return None
    moment = datetime.fromtimestamp(
        min(time_ms, YEAR_9999_MS) / 1000, UTC
    )  # a log of an old version may have later times
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refuse(result: PollResult, poll_id: str, wanted: str | None = None) -> None:
    """Raise the error if the cluster refused the command."""
    if result.what in ("created", "same", "changed"):
        return
    fields: dict[str, Any] = {"poll": poll_id}
    if result.what == "bad_transition":
        fields |= {"state": result.before, "wanted": wanted, "allowed": list(TRANSITIONS[result.before])}  # type: ignore[index]  # a State
    raise REFUSALS.get(result.what, Invalid)(result.detail or f"refused: {result.what}", **fields)


def read_poll(body: bytes, content_type: str) -> CreatePoll:
    """The command of a new poll. Raises `Invalid` or `TooLarge`, which say what is wrong with the definition."""
    if form_of(content_type) != "json":
        raise Invalid("a poll is one JSON object; send application/json")
    try:
        poll = _decode_poll(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{error}. A poll has id, title, options, state, closes_at, write_ins") from None
    id = check_text(poll.id, "id", ID_BYTES_MAX)
    if "/" in id or id in NOT_IN_ADDRESSES:
        raise Invalid("id stands in addresses: it cannot have a slash, nor be a dot or two")
    if poll.state == "archived":
        raise Invalid("a new poll cannot be archived; give draft, open or closed")
    title = check_text(poll.title or id, "title", TITLE_BYTES_MAX)
    return CreatePoll(id, title, _read_options(poll), poll.state, _read_time(poll.closes_at), poll.write_ins)


def _read_options(poll: NewPoll) -> list[str]:
    if len(poll.options) < 2 and not poll.write_ins:
        raise Invalid(f"{len(poll.options)} options; a poll needs at least 2, or write_ins")
    if len(poll.options) > OPTIONS_PER_POLL_MAX:
        raise TooLarge(
            f"{len(poll.options):,} options; the limit is {OPTIONS_PER_POLL_MAX:,}", limit=OPTIONS_PER_POLL_MAX
        )
    options = [check_text(option, f"option {place}", OPTION_BYTES_MAX) for place, option in enumerate(poll.options)]
    if len(set(options)) < len(options):
        twice = next(option for option in options if options.count(option) > 1)
        raise Invalid(f"option {twice!r} stands there twice")
    size = sum(len(option.encode()) for option in options)
    if size > OPTION_TEXT_PER_POLL_BYTES_MAX:
        limit = OPTION_TEXT_PER_POLL_BYTES_MAX
        raise TooLarge(f"the options have {size:,} bytes of text together; the limit is {limit:,}", limit=limit)
    return options


def _read_time(closes_at: datetime | None) -> int | None:
    if closes_at is None:
        return None
    if closes_at.tzinfo is None:
        raise Invalid("closes_at has no offset from UTC; write 2030-01-31T12:00:00Z")
    closes_at_ms = int(closes_at.timestamp() * 1000)
    if closes_at_ms > YEAR_9999_MS:  # possible with an offset west of UTC
        raise Invalid("closes_at is after 9999-12-31T23:59:59Z; give an earlier time, or none")
    return closes_at_ms
