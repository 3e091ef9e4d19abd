"""Polls: make them, look at them, move them along."""

from __future__ import annotations

from flask import Blueprint, Response

from quorate.http import defining
from quorate.http.app import asked, on_loop, respond, this_api

routes = Blueprint("polls", __name__)


@routes.post("/polls")
def create() -> Response:
    return respond(on_loop(defining.create(this_api(), asked())))


@routes.get("/polls")
def show_all() -> Response:
    api = this_api()
    return respond(defining.show_all(on_loop(defining.read_all(api, asked()), timeout_s=api.limits.wait_max_s)))


@routes.get("/polls/<path:poll_id>")
def show(poll_id: str) -> Response:
    api = this_api()
    return respond(on_loop(defining.show(api, asked(), poll_id), timeout_s=api.limits.wait_max_s))


@routes.post("/polls/<path:poll_id>/state")
def set_state(poll_id: str) -> Response:
    return respond(on_loop(defining.set_state(this_api(), asked(), poll_id)))
