"""The page and its files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.http.api import Api
from quorate.http.operation import ID, STRING, Operation
from quorate.http.request import Request
from quorate.http.routing import Rendering
from quorate.site import site_of_url

if TYPE_CHECKING:
    from flask import Response

STATIC = Path(__file__).parents[1] / "static"

# The page needs only its own files and this node. When this node dies, it goes on at another member, through a frame
# that is loaded again as the members change.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
FRAME = "others.html"
FRAME_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; connect-src"

PAGE = Operation("The page", STRING, media="text/html")
FILE = Operation("What the page is made of", STRING, [{**ID, "name": "file"}], media="text/css")


async def page(api: Api, request: Request) -> Rendering:
    return partial(_send, "index.html", POLICY)


async def static(api: Api, request: Request, file: str) -> Rendering:
    return partial(_send, file, " ".join([FRAME_POLICY, *_members(api)]) if file == FRAME else POLICY)


def _members(api: Api) -> list[str]:
    """Where the members are, as a policy can say it: it knows no addresses of IPv6."""
    named = [(member.http.partition("://")[0], site_of_url(member.http)) for member in api.members()]
    return [f"{scheme}://{site.name}:{site.port}" for scheme, site in named if site and ":" not in site.name]


def _send(file: str, policy: str) -> Response:
    from flask import send_from_directory  # called by Flask, so it is loaded by now

    answer = send_from_directory(STATIC, file, max_age=0)
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
