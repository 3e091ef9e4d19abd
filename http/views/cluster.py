"""Who is there, who leads, how is it going."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from quorate.http import viewing
from quorate.http.answers import reply
from quorate.http.api import Api
from quorate.http.app import asked, on_loop, respond, this_api

routes = Blueprint("cluster", __name__)


@routes.get("/leader")
def leader() -> Response:
    return respond(on_loop(viewing.leader(this_api(), asked())))


@routes.get("/nodes")
def nodes() -> Response:
    api = this_api()
    return respond(reply({"nodes": on_loop(_nodes(api)), "leader": api.replica.leader, "term": api.replica.term}))


@routes.get("/status")
def status() -> Response:
    api = this_api()
    return respond(reply(on_loop(_status(api)), version=api.replica.state.version))


@routes.get("/version")
def version() -> Response:
    return respond(reply(this_api().version()))


async def _nodes(api: Api) -> Any:
    return await api.nodes()


async def _status(api: Api) -> Mapping[str, Any]:
    return api.status()
