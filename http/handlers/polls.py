"""Create polls, show one, change it, move it to another state, and delete it. The list of all is in `poll_list.py`.

The id of a poll is part of addresses, so a new poll cannot have a slash in its id. Polls that were imported from a sink
may have one, and are found. What bodies may hold is in `http/poll_body.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from quorate.cluster.entry import LEVEL_NEEDED, ChangePoll, CreatePoll, DeletePoll, PollResult, State
from quorate.cluster.read.chunks import is_big
from quorate.cluster.read.reads import Versioned
from quorate.cluster.state.polls import PASSED, TRANSITIONS, PollView
from quorate.doors.bounds import check_options, check_poll
from quorate.errors import (
    BadTransition,
    Conflict,
    Deleted,
    Invalid,
    NotReady,
    PollArchived,
    QuorateError,
    Stale,
    TooLarge,
    UnknownPoll,
)
from quorate.http.acts import act, quoted
from quorate.http.api import Api
from quorate.http.consistency import CONSISTENCY, PARAMETERS, read_consistency, within
from quorate.http.handlers.named import names_polls
from quorate.http.json_body import reader
from quorate.http.operation import ID, Operation
from quorate.http.poll_body import MERGE_PATCH, NewPoll, PollEdit, read_edit, read_poll
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, once, read_query, read_version
from quorate.http.routing import InTurn
from quorate.vote import OPTIONS_PER_POLL_MAX, YEAR_9999_MS
from quorate.words import Level

STATES = tuple(TRANSITIONS)
CREATED_S = 1.0  # how long the answer to a creation waits until this node has the poll
DELETING = "deleting a poll"
CHANGING = "changing a poll"  # for the words of a refusal while some node is too old for it


class NewState(msgspec.Struct, forbid_unknown_fields=True):
    state: State


_decode_state = reader(NewState)

REFUSALS: Mapping[str, type[QuorateError]] = {
    "conflict": Conflict,
    "unknown_poll": UnknownPoll,
    "deleted": Deleted,
    "archived": PollArchived,
    "bad_transition": BadTransition,
    "too_large": TooLarge,
}


CREATE = Operation(
    "Create a poll",
    body={"application/json": NewPoll},
    words=f"2 to {OPTIONS_PER_POLL_MAX:,} options. The same again answers 200; another poll with that id 409.",
    responses={"201": {"description": "created", "headers": {"Location": {"schema": {"type": "string"}}}}},
)
CHANGE = Operation(
    "Change a poll: its title, its closing time, and options that are added",
    parameters=[ID],
    body={"application/json": PollEdit, MERGE_PATCH: PollEdit},
    words="All of it, or nothing. Options are only added, and start from zero; an option that is there is no change. A "
    "`closes_at` of null takes the closing time away. The answer is the poll, and whether it `changed`.",
)
SET_STATE = Operation(
    "Move a poll along: draft, open, closed, open again …, archived",
    parameters=[ID],
    body={"application/json": NewState},
)
DELETE = Operation(
    "Delete a poll that is a draft or archived",
    parameters=[
        ID,
        {
            "name": "creation",
            "in": "query",
            "schema": {"type": "integer", "minimum": 0},
            "description": "the number of the creation that is meant, as the poll's definition has it. So the request, "
            "sent again, never deletes a new poll of the same name",
        },
    ],
    words="Its options and results are gone. The name may be used again at once. The same again answers 410 for as "
    "long as the deletion is remembered: for the next accepted ids, as many as `votes.dedup_window`.",
)
SHOW = Operation("A poll's definition", parameters=[ID, *PARAMETERS])


async def create(api: Api, request: Request) -> Reply:
    """POST /polls: 201 if the poll is new, 200 if the same poll exists already."""
    poll = await api.parse_pool.parse(lambda body: read_poll(body, request.content_type), request.body)
    check_poll(request.caller, poll.id)
    check_options(request.caller, poll.id, poll.options, api.replica.state)
    end_s = _end_s(api)
    result, version = await api.submitter.create_poll(poll, timeout_s=api.limits.timeout_s)
    _refuse(result, poll.id)
    if result.what == "created":
        if result.creation:
            await _until_here(api, version)
        shown = {**_show_definition(poll), "creation": result.creation, "version": version}
        answer = reply(shown, status=201, version=version)
    else:  # it may have been changed since it was created
        answer = reply(await _show_now(api, poll.id, result, version, end_s), version=version)
    answer.more = ((b"location", f"/polls/{quote(poll.id, safe='')}".encode()),)
    return answer


@names_polls
async def change(api: Api, request: Request, poll_id: str) -> Reply:
    """PATCH /polls/ID."""
    api.replica.require_level(LEVEL_NEEDED[ChangePoll], CHANGING)
    read = partial(read_edit, poll_id, content_type=request.content_type)
    command, end_s = await api.parse_pool.parse(read, request.body), _end_s(api)
    check_options(request.caller, poll_id, command.add_options, api.replica.state)
    result, version = await api.submitter.change_poll(command, timeout_s=api.limits.timeout_s)
    _refuse(result, poll_id)
    shown = await _show_now(api, poll_id, result, version, end_s)
    return reply({**shown, "changed": result.what == "changed"}, version=version)


@names_polls
async def set_state(api: Api, request: Request, poll_id: str) -> Reply:
    """POST /polls/ID/state."""
    try:
        state = _decode_state(request.body).state
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f'{error}; send {{"state": "closed"}}, one of {", ".join(STATES)}') from None
    result, version = await api.submitter.set_poll_state(poll_id, state, timeout_s=api.limits.timeout_s)
    _refuse(result, poll_id, wanted=state)
    return reply({"id": poll_id, "state": state, "before": result.before, "version": version}, version=version)


@names_polls
async def delete(api: Api, request: Request, poll_id: str) -> Reply:
    """DELETE /polls/ID."""
    api.replica.require_level(LEVEL_NEEDED[DeletePoll], DELETING)
    number = once(read_query(request.query, frozenset({"creation"})), "creation", "")
    creation = read_version(number, "creation") if number else None
    with act(api, request, f"delete the poll {quoted(poll_id)}"):
        result, version = await api.submitter.delete_poll(poll_id, creation, timeout_s=api.limits.timeout_s)
        _refuse(result, poll_id, wanted="deleted")
    deleted = {"id": poll_id, "creation": result.creation, "state": "deleted", "before": result.before}
    return reply({**deleted, "version": version}, version=version)


@names_polls
async def show(api: Api, request: Request, poll_id: str) -> Reply | InTurn:
    """GET /polls/ID."""
    consistency = read_consistency(read_query(request.query, CONSISTENCY), api.limits.wait_max_s)
    read = api.reads.poll(
        poll_id, level=consistency.level, min_version=consistency.min_version, wait_s=consistency.wait_s
    )
    found = await within(api, request.caller, consistency, read)
    make = partial(_show, found)
    return InTurn(make) if is_big(found.value) else make()


def _show(found: Versioned[PollView]) -> Reply:
    return reply(show_poll(found.value), version=found.version)


def show_poll(poll: PollView) -> dict[str, Any]:
    return {**_show_definition(poll), "created_at": _show_time(poll.created_ms), **_numbers(poll)}


def _numbers(poll: PollView) -> dict[str, Any]:
    """`creation` tells this poll from another one that has or had its id; it is 0 if 0.1.0 created it. Messages of a
    queue from before `counts_from` were meant for that other one."""
    since = _show_time(poll.since_ms or None)
    return {"creation": poll.creation, "counts_from": since, "version": poll.version}


def _show_definition(poll: PollView | CreatePoll) -> dict[str, Any]:
    return {
        "id": poll.id,
        "title": poll.title,
        "options": poll.options,
        "state": poll.state,
        "closes_at": _show_time(poll.closes_at_ms),
        "write_ins": poll.write_ins,
    }


def _end_s(api: Api) -> float:
    return asyncio.get_running_loop().time() + api.limits.timeout_s


async def _until_here(api: Api, version: int) -> None:
    """A vote that follows at this node must find the poll, above all one whose name was used before."""
    with contextlib.suppress(Stale, NotReady):  # the poll is created all the same
        await api.reads.wait_until_known(version, CREATED_S)


async def _show_now(api: Api, poll_id: str, result: PollResult, version: int, end_s: float) -> dict[str, Any]:
    """The poll at this version or a later one. If it cannot be had in time, what is known."""
    wait_s = end_s - asyncio.get_running_loop().time()
    level: Level = "none" if api.replica.leader_via is None else "weak"  # this node's own log may be far behind
    try:
        found = await api.reads.poll(poll_id, level=level, min_version=version, wait_s=wait_s)
    except QuorateError:  # the change stands all the same
        return {"id": poll_id, "state": result.before, "version": version}
    return {**show_poll(found.value), "version": version}


def _show_time(time_ms: int | None) -> str | None:
    if time_ms is None:
        return None
    moment = datetime.fromtimestamp(
        min(time_ms, YEAR_9999_MS) / 1000, UTC
    )  # a log of an old version may have later times
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refuse(result: PollResult, poll_id: str, wanted: str | None = None) -> None:
    """Raise the error if the cluster refused the command."""
    if result.what in ("created", "same", "changed", "removed"):
        return
    fields: dict[str, Any] = {"poll": poll_id}
    if result.detail == PASSED:
        fields["field"] = "closes_at"
    if result.what == "bad_transition":
        fields |= {"state": result.before, "wanted": wanted, "allowed": list(TRANSITIONS[result.before])}  # type: ignore[index]  # a State
    raise REFUSALS.get(result.what, Invalid)(result.detail or f"refused: {result.what}", **fields)
