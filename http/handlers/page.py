"""The page, and the API's own description."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

from quorate.http import openapi
from quorate.http.flask_app import respond
from quorate.http.reply import reply

STATIC = Path(__file__).parents[1] / "static"

# The page needs nothing but its own files and this node.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

routes = Blueprint("page", __name__)


@routes.get("/")
def page() -> Response:
    return _send("index.html")


@routes.get("/static/<file>")
def static(file: str) -> Response:
    return _send(file)


@routes.get("/openapi.json")
def describe() -> Response:
    return respond(reply(openapi.document()))


def _send(file: str) -> Response:
    answer = send_from_directory(STATIC, file, max_age=0)
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
