"""The one table of routes: what there is over HTTP, who answers it and who may use it. A route is written only here.

Five readers: the loop's door (`asgi.py`), which answers the hot routes itself; Flask (`flask_app.py`), which registers
a rule for each route; OpenAPI (`openapi.py`), which lists the paths with each route's own description; the counts,
which name requests by the route's path; and the contract test, which fails for a hot route without a case.

Why it looks like this:

- One kind of handler for both doors: `async def handler(api, request, placeholder)`. It runs on the node's loop and
  returns a Reply, a Stream, or a function that renders the rest on a Flask thread (big listings, files). A hot route
  returns a Reply or a Stream.
- A hot route is found by its exact path, or by what stands before and after its placeholder: two dictionary look-ups
  for `POST /votes`. `Router.find` needs only method and path, so a protocol callback that answers without an ASGI task
  can ask it too, and call the same handler.
- `role` says who may use the route. It is checked once, in `AsgiApp.__call__` (`access.py`), before either door reads a
  body. A request with a wrong method finds another route of its path, and needs that one's role.
- A new route is one line here, one handler, and one `Operation` beside the handler.

The order is the order of /openapi.json.
"""

from __future__ import annotations

from functools import cache

from quorate.doors.limits import Limits
from quorate.http import openapi
from quorate.http.api import Api
from quorate.http.handlers import (
    admin,
    audit,
    backup,
    cluster,
    digest,
    events,
    health,
    history,
    log,
    log_level,
    page,
    poll_list,
    polls,
    producers,
    results,
    settings,
    table,
    votes,
)
from quorate.http.operation import Operation
from quorate.http.reply import Reply, reply
from quorate.http.request import Request
from quorate.http.routing import Rendering, Route

DESCRIBE = Operation("This document")


async def describe(api: Api, request: Request) -> Rendering:
    return _render_description


def _render_description() -> Reply:
    return _description_of(tuple(ROUTES))


@cache
def _description_of(routes: tuple[Route, ...]) -> Reply:
    return reply(openapi.document(routes))


def _vote_bytes(limits: Limits) -> int:
    return limits.body_bytes


def _poll_bytes(limits: Limits) -> int:
    return limits.poll_bytes


def _read_s(limits: Limits) -> float:
    return limits.wait_max_s


def _operation_s(limits: Limits) -> float:
    return limits.operation_s


VOTES = Route("POST", "/votes", votes.cast, votes.CAST, "vote", hot=True, body_max=_vote_bytes)

ROUTES = (
    VOTES,
    Route("POST", "/producers", votes.open_producer, votes.OPEN_PRODUCER, "vote"),
    Route("GET", "/producers", producers.show_all, producers.SHOW_ALL, "operate"),
    Route("DELETE", "/producers/{name:path}", producers.forget, producers.FORGET, "operate"),
    Route(
        "GET",
        "/polls/{id:anything}/results",
        results.results,
        results.RESULTS,
        "read",
        hot=True,
        on_loop=True,
        timeout_s=_read_s,
    ),
    Route("GET", "/polls/{id:path}/history", history.show, history.SHOW, "read", on_loop=True),
    Route("GET", "/events", events.follow, events.FOLLOW, "read", hot=True),
    Route("GET", "/polls", poll_list.show_all, poll_list.SHOW_ALL, "read", on_loop=True, timeout_s=_read_s),
    Route("POST", "/polls", polls.create, polls.CREATE, "manage", on_loop=True, body_max=_poll_bytes),
    Route("GET", "/polls/{id:path}", polls.show, polls.SHOW, "read", on_loop=True, timeout_s=_read_s),
    Route("PATCH", "/polls/{id:path}", polls.change, polls.CHANGE, "manage", on_loop=True, body_max=_poll_bytes),
    Route("DELETE", "/polls/{id:path}", polls.delete, polls.DELETE, "manage"),
    Route("POST", "/polls/{id:path}/state", polls.set_state, polls.SET_STATE, "manage"),
    Route("GET", "/leader", cluster.leader, cluster.LEADER, "read"),
    Route("POST", "/leader/transfer", admin.transfer, admin.TRANSFER, "operate", timeout_s=_operation_s),
    Route("GET", "/members", admin.members, admin.MEMBERS, "read"),
    Route("POST", "/members", admin.change_members, admin.CHANGE_MEMBERS, "operate", timeout_s=_operation_s),
    Route("POST", "/sink/adopt", admin.adopt_sink, admin.ADOPT_SINK, "operate", timeout_s=_operation_s),
    Route("POST", "/audit", audit.sinks, audit.SINKS, "operate", timeout_s=_operation_s),
    Route("POST", "/audit/version", audit.meet, audit.MEET, "operate"),
    Route("GET", "/settings", settings.show, settings.SHOW, "read"),
    Route("PUT", "/settings/{name}", settings.change, settings.SET, "operate"),
    Route("GET", "/log-level", log_level.show, log_level.SHOW, "read"),
    Route("PUT", "/log-level", log_level.change, log_level.CHANGE, "operate"),
    Route("GET", "/nodes", cluster.nodes, cluster.NODES, "read"),
    Route("GET", "/status", cluster.status, cluster.STATUS, "read"),
    Route("GET", "/digest", digest.show, digest.SHOW, "read", on_loop=True, timeout_s=_read_s),
    Route("GET", "/log", log.show, log.SHOW, "operate"),
    Route("GET", "/backup", backup.take, backup.TAKE, "operate", on_loop=True, timeout_s=_operation_s),
    Route("GET", "/version", cluster.version, cluster.VERSION, "read"),
    Route("GET", "/livez", health.livez, health.LIVEZ, "public", hot=True),
    Route("GET", "/readyz", health.readyz, health.READYZ, "public", hot=True),
    Route("GET", "/metrics", health.show_metrics, health.METRICS, "read"),
    Route("GET", "/", page.page, page.PAGE, "public"),
    Route("GET", "/table", table.show, table.TABLE, "read"),
    Route("GET", "/static/{file}", page.static, page.FILE, "public"),
    Route("GET", "/openapi.json", describe, DESCRIBE, "public"),
)
