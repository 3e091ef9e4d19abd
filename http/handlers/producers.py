"""List the producer sessions of the cluster, and forget one.

A session that is forgotten makes room for another one. Its name is opened again only as new, because its writer would
count everything twice.
"""

from __future__ import annotations

import heapq
from functools import partial

from quorate.cluster.entry import LEVEL_NEEDED, ForgetProducer
from quorate.cluster.state.sessions import Session
from quorate.errors import Deleted, Invalid, NotFound, TooLarge
from quorate.http.acts import act, quoted
from quorate.http.api import Api
from quorate.http.operation import STRING, Operation
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, once, read_query, read_version
from quorate.http.routing import Rendering
from quorate.vote import normal_form

LISTED = 1_000  # at most, in one answer
FORGETTING = "forgetting a producer"  # for the words of a refusal while some node is too old for it

SHOW_ALL = Operation(
    "The producer sessions, in the order of their names",
    parameters=[
        {"name": "after", "in": "query", "schema": STRING, "description": "begin after this name: `next` of a page"},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": LISTED}},
    ],
    words=f"At most {LISTED:,} a page. `next` is null on the last one. `sequence` is the last batch that was counted.",
)
FORGET = Operation(
    "Forget a producer session",
    parameters=[
        {"name": "name", "in": "path", "required": True, "schema": STRING},
        {
            "name": "epoch",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1},
            "description": "the epoch that is meant. So the request, sent again, never forgets a session that was "
            "opened since",
        },
    ],
    words="Its name is opened again only with `new`. The same again answers 410 while it is remembered.",
)


async def show_all(api: Api, request: Request) -> Rendering:
    """GET /producers, from this node's own state. Many names take a while to sort, so that is not done on the loop."""
    parameters = read_query(request.query, frozenset({"after", "limit"}))
    limit = read_version(once(parameters, "limit", str(LISTED)), "limit")
    if not 1 <= limit <= LISTED:
        raise Invalid(f"limit is {limit}; give 1 to {LISTED:,}")
    state, after = api.replica.state, normal_form(once(parameters, "after", ""))
    return partial(_render, state.producers.freeze(), after, limit, state.version)


def _render(sessions: dict[str, Session], after: str, limit: int, version: int) -> Reply:
    names = heapq.nsmallest(limit + 1, (name for name in sessions if name > after))
    shown = [{"producer": name, "epoch": sessions[name][0], "sequence": sessions[name][1]} for name in names[:limit]]
    following = names[limit - 1] if len(names) > limit else None
    return reply({"producers": shown, "next": following, "version": version}, version=version)


async def forget(api: Api, request: Request, name: str) -> Reply:
    """DELETE /producers/NAME."""
    api.replica.require_level(LEVEL_NEEDED[ForgetProducer], FORGETTING)
    number = once(read_query(request.query, frozenset({"epoch"})), "epoch", "")
    epoch = read_version(number, "epoch") if number else None
    with act(api, request, f"forget the producer {quoted(name)}"):
        result, version = await api.submitter.forget_producer(name, epoch, timeout_s=api.limits.timeout_s)
        if result.what != "forgotten":
            error = {"unknown": NotFound, "gone": Deleted, "too_large": TooLarge}.get(result.what, Invalid)
            raise error(result.detail, producer=name)
    forgotten = {"producer": name, "epoch": result.epoch, "sequence": result.sequence}
    return reply({**forgotten, "version": version}, version=version)
