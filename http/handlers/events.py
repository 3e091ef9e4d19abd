"""Open a stream of server-sent events: tallies as they change. `doors/events.py` puts the events into it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from quorate.doors.bounds import shown_polls
from quorate.doors.event_stream import Stream
from quorate.errors import Invalid, NotReady, Stale
from quorate.http.api import Api
from quorate.http.handlers.named import names_polls
from quorate.http.operation import STRING, Operation
from quorate.http.reply import Headers, signature
from quorate.http.request import Request, once, read_query, read_version
from quorate.security.caller import Caller
from quorate.words import count

STREAM_POLLS_MAX = 100
EVENT_STREAM = "text/event-stream"
READY_S = 2.0
HOLD_S = 30.0  # then the stream ends, and the client comes back

FOLLOW = Operation(
    "Tallies as they change (server-sent events); all polls unless some are named",
    STRING,
    [
        {"name": "poll", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        {
            "name": "only",
            "in": "query",
            "schema": {"enum": ["polls"]},
            "description": "polls: which polls are made, changed or deleted, without tallies. It begins with nothing",
        },
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}},
    ],
    media="text/event-stream",
    words="Events are `results`, and `deleted` when a poll was deleted; a new poll may have its name. With "
    "`only=polls` they are `poll` (its id, creation, state and version) and `deleted`.",
)


@names_polls
async def follow(api: Api, request: Request) -> Stream:
    """GET /events: an open stream. Waits first until this node knows the polls and has the version that the client saw.

    If that takes long, the answer is 503. But a browser's EventSource never tries again after a 503. It says that it
    accepts event streams, so it is given a stream that begins later.
    """
    parameters = read_query(request.query, frozenset({"poll", "only"}))
    polls, only_polls = parameters.get("poll", []), _only_polls(parameters)
    if len(polls) > STREAM_POLLS_MAX:
        raise Invalid(f"{count(len(polls), 'poll')} in one stream; the limit is {STREAM_POLLS_MAX}; name none for all")
    caller, followed = request.caller, shown_polls(request.caller, polls)
    after = read_version(request.last_event_id, "Last-Event-ID") if request.last_event_id else 0
    try:
        await _ready(api, caller, polls, after, READY_S)
    except (Stale, NotReady):
        if EVENT_STREAM not in request.accept:
            raise
        api.access.check_holds(caller)
        when = partial(_ready, api, caller, polls, after, HOLD_S)
        return api.events.open(followed, after=after, when=when, caller=caller, only_polls=only_polls)
    api.access.check_holds(caller)
    return api.events.open(followed, after=after, caller=caller, only_polls=only_polls)


def _only_polls(parameters: dict[str, list[str]]) -> bool:
    only = once(parameters, "only", "")
    if only not in ("", "polls"):
        raise Invalid(f"only is {only[:40]!r}; give polls, or leave it out")
    return bool(only)


async def _ready(api: Api, caller: Caller, polls: Sequence[str], after: int, wait_s: float) -> None:
    """Wait until this node can serve the stream. Raises `Stale`, `NotReady`, `Overloaded` or `UnknownPoll`."""
    if after > api.replica.state.version:
        async with api.places.waits.waiting(caller):
            await api.reads.wait_until_known(after, wait_s)
    await api.reads.wait_until_known(after, wait_s)
    for poll_id in polls:
        api.reads.check_poll(poll_id)


def stream_headers(api: Api, stream: Stream) -> Headers:
    headers = [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would hold events back
        *signature(api.replica),
    ]
    if stream.beginning is None:
        headers.append((b"x-quorate-version", b"%d" % api.replica.state.version))
    return headers
