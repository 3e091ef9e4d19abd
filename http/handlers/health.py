"""Is it alive, is it ready, what does it count: for orchestrators and Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response

from quorate.errors import Invalid
from quorate.http import metrics
from quorate.http.api import Api
from quorate.http.flask_app import asked, on_loop, respond, this_api
from quorate.http.handlers import results
from quorate.http.reply import Reply, reply
from quorate.http.request import once, read_query

routes = Blueprint("health", __name__)


@routes.get("/livez")
def livez() -> Response:
    return respond(on_loop(results.livez(this_api(), asked())))


@routes.get("/readyz")
def readyz() -> Response:
    return respond(on_loop(results.readyz(this_api(), asked())))


@routes.get("/metrics")
def show_metrics() -> Response:
    api = this_api()
    form = once(read_query(asked().query, frozenset({"format"})), "format", "text")
    if form not in ("text", "json"):
        raise Invalid(f"format is {form!r}; give text or json")
    on_loop(_look(api))
    if form == "json":
        return respond(reply(metrics.as_json(api.registry)))
    return respond(Reply(200, metrics.as_text(api.registry), metrics.TEXT_FORMAT))


async def _look(api: Api) -> None:
    api.numbers.status = api.status()
