"""Whether the node is alive, whether it is ready, and what it counts: for orchestrators and Prometheus."""

from __future__ import annotations

from functools import partial

from quorate.errors import Invalid
from quorate.http import metrics
from quorate.http.api import Api
from quorate.http.operation import STRING, Operation, flag
from quorate.http.reply import Reply, reply, text
from quorate.http.request import Request, once, read_query
from quorate.http.routing import Rendering

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
)


async def livez(api: Api, request: Request) -> Reply:
    """The loop turns. Otherwise nothing would answer."""
    return text("ok\n")


async def readyz(api: Api, request: Request) -> Reply:
    """One line for each check. The status is 503 if a check fails."""
    flags = read_query(request.query, FLAGS)
    lines, ready = [], True
    for check in api.checks:
        if check.sync and "sync" not in flags:
            continue
        result = check.run()
        ready = ready and result.ready
        more = f": {result.more}" if result.more and "verbose" in flags else ""
        lines.append(f"[{'+' if result.ready else '-'}] {check.name} {result.words}{more}\n")
    return text("".join(lines) or "ok\n", status=200 if ready else 503)


async def show_metrics(api: Api, request: Request) -> Rendering:
    form = once(read_query(request.query, frozenset({"format"})), "format", "text")
    if form not in ("text", "json"):
        raise Invalid(f"format is {form!r}; give text or json")
    api.numbers.take(api.status())
    return partial(_render, api, form)


def _render(api: Api, form: str) -> Reply:
    if form == "json":
        return reply(metrics.as_json(api.registry))
    return Reply(200, metrics.as_text(api.registry), metrics.TEXT_FORMAT)
