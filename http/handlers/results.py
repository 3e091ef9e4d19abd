"""What the loop answers besides votes: results, event streams, health, who leads. The same functions for both doors."""

from __future__ import annotations

from quorate.errors import Invalid, NoLeader
from quorate.http.api import Api
from quorate.http.consistency import CONSISTENCY, DEFAULT, read_consistency, within
from quorate.http.events import Stream
from quorate.http.reply import Headers, Reply, reply, signature, text
from quorate.http.request import Request, read_query, read_version

STREAM_POLLS_MAX = 100
FLAGS = frozenset({"verbose", "sync"})


async def results(api: Api, request: Request, poll_id: str) -> Reply:
    """GET /polls/ID/results."""
    consistency = (
        read_consistency(read_query(request.query, CONSISTENCY), api.limits.wait_max_s) if request.query else DEFAULT
    )
    read = api.reads.results(
        poll_id, level=consistency.level, min_version=consistency.min_version, wait_s=consistency.wait_s
    )
    tally = await within(consistency, read)
    return reply(tally, version=tally.version)


async def follow(api: Api, request: Request) -> Stream:
    """GET /events: a stream that is open, or the reason why not."""
    parameters = read_query(request.query, frozenset({"poll"}))
    polls = parameters.get("poll", [])
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


async def livez(api: Api, request: Request) -> Reply:
    """The loop turns, or nobody would answer this."""
    return text("ok\n")


async def readyz(api: Api, request: Request) -> Reply:
    """One line a check; 503 if one of them fails."""
    flags = read_query(request.query, FLAGS)
    lines, ready = [], True
    for check in api.checks:
        if check.sync and "sync" not in flags:
            continue
        well, words, more = check.look()
        ready = ready and well
        lines.append(
            f"[{'+' if well else '-'}] {check.name} {words}{': ' + more if more and 'verbose' in flags else ''}\n"
        )
    return text("".join(lines) or "ok\n", status=200 if ready else 503)


async def leader(api: Api, request: Request) -> Reply:
    """GET /leader."""
    who = api.replica.leader
    if who is None:
        raise NoLeader("no leader is known: a majority of the nodes must be up and connected")
    found = {member.id: member for member in api.members()}.get(who)
    return reply(
        {"id": who, "http": found.http if found else "", "raft": found.raft if found else "", "term": api.replica.term}
    )
