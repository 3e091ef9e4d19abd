"""Who is there, who leads, how is it going."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from quorate.http.api import Api
from quorate.http.flask_app import asked, on_loop, respond, this_api
from quorate.http.handlers import results
from quorate.http.reply import reply

routes = Blueprint("cluster", __name__)


@routes.get("/leader")
def leader() -> Response:
    return respond(on_loop(results.leader(this_api(), asked())))


@routes.get("/nodes")
def nodes() -> Response:
    return respond(reply(on_loop(_nodes(this_api()))))


@routes.get("/status")
def status() -> Response:
    status, version = on_loop(_status(this_api()))
    return respond(reply(status, version=version))


@routes.get("/version")
def version() -> Response:
    return respond(reply(this_api().version()))


async def _nodes(api: Api) -> Mapping[str, Any]:
    return {"nodes": await api.nodes(), "leader": api.replica.leader, "term": api.replica.term}


async def _status(api: Api) -> tuple[Mapping[str, Any], int]:
    return api.status(), api.replica.state.version
