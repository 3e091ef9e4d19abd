"""The page, and the API's own description."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

STATIC = Path(__file__).parents[1] / "static"

routes = Blueprint("page", __name__)


@routes.get("/")
def page() -> Response:
    return send_from_directory(STATIC, "index.html")
