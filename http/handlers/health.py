"""Whether the node is alive, whether it is ready, and its metrics: for orchestrators and Prometheus."""

from __future__ import annotations

from functools import partial

from quorate import shown
from quorate.errors import Invalid
from quorate.http.api import Api
from quorate.http.metrics.observation import Observation
from quorate.http.operation import OBJECT, STRING, Operation, flag
from quorate.http.reply import Reply, reply, text
from quorate.http.request import Request, once, read_query
from quorate.http.routing import Rendering

TEXT_FORMAT = b"text/plain; version=0.0.4; charset=utf-8"  # of Prometheus
FLAGS = frozenset({"verbose", "sync"})

LIVEZ = Operation("Alive", STRING, media="text/plain")
READYZ = Operation(
    "Ready: one line a check",
    STRING,
    [flag("verbose", "more words a line"), flag("sync", "look at the sink too")],
    media="text/plain",
)
METRICS = Operation(
    "For Prometheus",
    STRING,
    [{"name": "format", "in": "query", "schema": {"enum": ["text", "json"], "default": "text"}}],
    media="text/plain",
    also={"application/json": OBJECT},
)


async def livez(api: Api, request: Request) -> Reply:
    """GET /livez: this answer shows that the loop runs."""
    return text("ok\n")


async def readyz(api: Api, request: Request) -> Reply:
    """GET /readyz: one line for each check. The status is 503 if a check fails."""
    flags, shows_all = read_query(request.query, FLAGS), api.access.shows_all(request.caller)
    lines, ready = [], True
    for check in api.checks:
        if check.sync and "sync" not in flags:
            continue
        result = check.run()
        ready = ready and result.ready
        more = f": {result.more}" if result.more and "verbose" in flags and shows_all else ""
        words = result.words if shows_all or not check.sync else "GET /status with a token says more"
        lines.append(shown.line(f"[{'+' if result.ready else '-'}] {check.name} {words}{more}"))
    return text("".join(f"{each}\n" for each in lines) or "ok\n", status=200 if ready else 503)


async def show_metrics(api: Api, request: Request) -> Rendering:
    form = once(read_query(request.query, frozenset({"format"})), "format", "text")
    if form not in ("text", "json"):
        raise Invalid(f"format is {form!r}; give text or json")
    return partial(_render, _observe(api, request), form)


def _observe(api: Api, request: Request) -> Observation:
    checks = {check.name: check.run().ready for check in api.checks if not check.sync}
    is_stranger = request.caller.token is None and not api.access.shows_all(request.caller)
    return Observation(api.status(), api.counts, api.measures(), dict(api.access.refused), checks, is_stranger)


def _render(observation: Observation, form: str) -> Reply:
    from quorate.http.metrics import rendering  # not at the start of a node: it imports Prometheus' client

    if form == "json":
        return reply(rendering.as_json(observation))
    return Reply(200, rendering.as_text(observation), TEXT_FORMAT)
