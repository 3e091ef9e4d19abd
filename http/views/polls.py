"""Polls: make them, look at them, move them along."""

from __future__ import annotations

from flask import Blueprint, Response

from quorate.http.flask_app import asked, on_loop, respond, this_api
from quorate.http.handlers import polls

routes = Blueprint("polls", __name__)


@routes.post("/polls")
def create() -> Response:
    return respond(on_loop(polls.create(this_api(), asked())))


@routes.get("/polls")
def show_all() -> Response:
    api = this_api()
    return respond(polls.show_all(on_loop(polls.read_all(api, asked()), timeout_s=api.limits.wait_max_s)))


@routes.get("/polls/<path:poll_id>")
def show(poll_id: str) -> Response:
    api = this_api()
    return respond(on_loop(polls.show(api, asked(), poll_id), timeout_s=api.limits.wait_max_s))


@routes.post("/polls/<path:poll_id>/state")
def set_state(poll_id: str) -> Response:
    return respond(on_loop(polls.set_state(this_api(), asked(), poll_id)))
