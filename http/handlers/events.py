"""Open a stream of server-sent events: tallies as they change. `http/events.py` puts the events into it."""

from __future__ import annotations

from quorate.errors import Invalid
from quorate.http.api import Api
from quorate.http.events import Stream
from quorate.http.operation import STRING, Operation
from quorate.http.reply import Headers, signature
from quorate.http.request import Request, read_query, read_version

STREAM_POLLS_MAX = 100

FOLLOW = Operation(
    "Tallies as they change (server-sent events); all polls unless some are named",
    STRING,
    [
        {"name": "poll", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}},
    ],
    media="text/event-stream",
)


async def follow(api: Api, request: Request) -> Stream:
    """GET /events: an open stream. Waits first until this node has the version that the client has seen."""
    polls = read_query(request.query, frozenset({"poll"})).get("poll", [])
    if len(polls) > STREAM_POLLS_MAX:
        raise Invalid(f"{len(polls)} polls in one stream; the limit is {STREAM_POLLS_MAX}, or name none to follow all")
    after = read_version(request.last_event_id, "Last-Event-ID") if request.last_event_id else 0
    if polls:
        for poll_id in polls:
            await api.reads.poll(poll_id, level="none", min_version=after)
    else:
        await api.reads.polls("draft", level="none", min_version=after)  # only to wait for that version
    return api.events.open(polls, after=after)


def stream_headers(api: Api) -> Headers:
    return [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would hold events back
        *signature(api.replica),
        (b"x-quorate-version", b"%d" % api.replica.state.version),
    ]
