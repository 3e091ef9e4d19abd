"""The Flask app: the whole API, for every door that speaks WSGI. Its views run on threads of the server's.

What must happen on the node's loop goes there by `on_loop`, with a deadline; the rest (encoding, rendering) stays on
the thread. One error handler renders every error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from quorate.errors import Invalid, MethodNotAllowed, NotFound, OutcomeUnknown, QuorateError
from quorate.http.api import Api
from quorate.http.body import too_large
from quorate.http.reply import Reply, headers_of, internal, problem, signature
from quorate.http.request import Request, check_origin

LOOP_GRACE_S = 2.0  # what runs on the loop ends by its own deadline; this is for a loop that does not turn

T = TypeVar("T")


def create_app(api: Api) -> Flask:
    from quorate.http.views import BLUEPRINTS

    app = Flask(__name__, static_folder=None)
    app.extensions["quorate"] = api
    app.config["MAX_CONTENT_LENGTH"] = api.limits.poll_bytes
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_error_handler(Exception, render)
    app.before_request(check_site)
    app.after_request(sign)
    return app


def this_api() -> Api:
    return cast(Api, current_app.extensions["quorate"])


def asked() -> Request:
    """The request at hand, as the shared functions want it."""
    headers = request.headers
    return Request(
        path=request.path,
        query=request.query_string.decode(),
        body=request.get_data(cache=False),
        content_type=headers.get("Content-Type", ""),
        idempotency_key=headers.get("Idempotency-Key"),
        producer=headers.get("X-Quorate-Producer"),
        last_event_id=headers.get("Last-Event-ID"),
    )


def check_site() -> None:
    if request.method == "POST":
        check_origin(request.headers.get("Origin"), request.headers.get("Host"))


def on_loop(work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
    """Run `work` on the node's loop and wait for it here."""
    api = this_api()
    future = asyncio.run_coroutine_threadsafe(work, api.loop)
    try:
        return future.result(LOOP_GRACE_S + (api.limits.timeout_s if timeout_s is None else timeout_s))
    except TimeoutError:
        future.cancel()
        raise OutcomeUnknown("this node did not get to it in time; it may still have had its effect") from None


def respond(answer: Reply) -> Response:
    headers = [(name.decode(), value.decode("latin-1")) for name, value in headers_of(answer, this_api().replica)]
    return Response(answer.body, answer.status, headers)


def sign(answer: Response) -> Response:
    """What did not go through `respond` (files, OPTIONS) says who served it, too."""
    if "X-Quorate-Node" not in answer.headers:
        answer.headers.extend((name.decode(), value.decode()) for name, value in signature(this_api().replica))
    return answer


def render(error: Exception) -> Response:
    if isinstance(error, HTTPException):
        error = translate(error)
    if isinstance(error, QuorateError):
        return respond(problem(error, request.path))
    return respond(internal(error, request.path))


def translate(error: HTTPException) -> Exception:
    """Flask's own errors in our words."""
    if isinstance(error, WrongMethod):
        allow = sorted(error.valid_methods or ())
        return MethodNotAllowed(f"{request.path} answers {', '.join(allow)}, not {request.method}", allow=allow)
    if error.code == 404:
        return NotFound(f"there is nothing at {request.path}; GET /openapi.json lists what there is")
    if error.code == 413:
        return too_large(this_api().limits.poll_bytes)
    return Invalid(error.description or error.name) if 400 <= (error.code or 500) < 500 else error
