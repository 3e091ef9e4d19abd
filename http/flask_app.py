"""The Flask app: the whole API for any WSGI server. Its rules come from the table of routes.

Handlers run on the node's loop. Flask's thread waits for them with a deadline, and then does the work that needs no
loop: it renders big answers and reads files. One error handler renders every error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

import flask
from flask import Flask, Response
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from quorate.doors.event_stream import HEARTBEAT_S, Stream
from quorate.errors import Invalid, MethodNotAllowed, NotFound, OutcomeUnknown, QuorateError, Unauthorized
from quorate.http.api import Api
from quorate.http.body import too_large
from quorate.http.download import Download
from quorate.http.handlers.events import stream_headers
from quorate.http.reply import Reply, headers_of, internal, problem, signature
from quorate.http.request import Request, check_coding
from quorate.http.routing import Route
from quorate.http.scope import CALLER
from quorate.http.url_map import AnythingConverter
from quorate.security.caller import Caller
from quorate.words import near_names

LOOP_GRACE_S = 2.0  # a handler ends by its own deadline; this is for a loop that does not turn

T = TypeVar("T")


def create_app(api: Api, routes: Iterable[Route]) -> Flask:
    routes = tuple(routes)
    door = _FlaskDoor(api, {_first_part(route.path) for route in routes if len(route.path) > 1})
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = api.limits.poll_bytes
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters["anything"] = AnythingConverter
    for route in routes:
        app.add_url_rule(route.rule, route.endpoint, door.view(route), methods=[route.method])
    app.register_error_handler(Exception, door.render)
    app.before_request(door.check_body)
    app.after_request(door.sign)
    return app


class _FlaskDoor:
    """Passes requests from Flask to the handlers, and their answers back."""

    def __init__(self, api: Api, parts: Collection[str]) -> None:
        self._api = api
        self._parts = parts  # the first parts of all paths: a misspelt one may have meant one of them

    def view(self, route: Route) -> Callable[..., Response]:
        timeout_s = route.timeout_s(self._api.limits)

        def answer_request(**arguments: str) -> Response:
            request = read_request()
            if not request.caller.may(route.role):
                raise Unauthorized("no caller was admitted to this request")
            self._api.access.check_holds(request.caller)
            work = route.answer(self._api, request, arguments.values())
            answer = self._on_loop(work, timeout_s)
            if route.method == "GET":
                self._api.access.check_holds(request.caller)
            if isinstance(answer, Download):
                answer = self._on_loop(answer.whole(), timeout_s)
            if isinstance(answer, Stream):
                return self._respond_with_stream(answer)
            return self._respond(answer if isinstance(answer, Reply) else answer())

        return answer_request

    def _on_loop(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run `work` on the node's loop and wait here for its result."""
        future = asyncio.run_coroutine_threadsafe(work, self._api.loop)
        try:
            with self._api.thread_turns.waiting():
                return future.result(LOOP_GRACE_S + timeout_s)
        except TimeoutError:
            future.cancel()
            raise OutcomeUnknown("this node did not get to it in time; it may still have had its effect") from None

    def _respond(self, answer: Reply | Response) -> Response:
        if isinstance(answer, Response):
            return answer
        return Response(answer.body, answer.status, _as_text(headers_of(answer, self._api.replica)))

    def _respond_with_stream(self, stream: Stream) -> Response:
        chunks: Iterator[bytes] = iter(())
        if flask.request.method == "HEAD":  # only the headers are sent: nothing reads the stream, so it is closed here
            self._api.loop.call_soon_threadsafe(stream.close)
        else:
            chunks = self._chunks_of(stream)
        answer = Response(chunks)
        answer.headers.clear()
        answer.headers.extend(_as_text(stream_headers(self._api, stream)))
        return answer

    def _chunks_of(self, stream: Stream) -> Iterator[bytes]:
        try:
            while (chunk := self._on_loop(stream.next(), HEARTBEAT_S)) is not None:
                yield chunk
        finally:
            self._api.loop.call_soon_threadsafe(stream.close)

    def check_body(self) -> None:
        if flask.request.method not in ("GET", "HEAD", "OPTIONS"):
            check_coding(flask.request.headers.get("Content-Encoding", ""))

    def sign(self, answer: Response) -> Response:
        """Add this node and the leader to answers that are not replies: files and OPTIONS."""
        if "X-Quorate-Node" not in answer.headers:
            answer.headers.extend(_as_text(signature(self._api.replica)))
        return answer

    def render(self, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            error = self._translate(error)
        path = flask.request.path
        return self._respond(problem(error, path) if isinstance(error, QuorateError) else internal(error, path))

    def _translate(self, error: HTTPException) -> Exception:
        """Say Flask's own errors in our words."""
        request = flask.request
        if isinstance(error, WrongMethod):
            allow = sorted(error.valid_methods or ())
            return MethodNotAllowed(f"{request.path} answers {', '.join(allow)}, not {request.method}", allow=allow)
        if error.code == 404:
            near = near_names(_first_part(request.path), self._parts, likeness=0.7)
            meant = f"did you mean {' or '.join(near[:2])}?" if near else "GET /openapi.json lists what there is"
            return NotFound(f"there is nothing at {request.path}; {meant}")
        if error.code == 413:
            return too_large(self._api.limits.poll_bytes)
        return Invalid(error.description or error.name) if 400 <= (error.code or 500) < 500 else error


def _first_part(path: str) -> str:
    return "/" + path.lstrip("/").partition("/")[0]


def read_request() -> Request:
    """The request that Flask has, as the handlers want it."""
    headers = flask.request.headers
    return Request(
        path=flask.request.path,
        caller=_caller(),
        query=flask.request.query_string.decode(),
        body=flask.request.get_data(cache=False),
        content_type=headers.get("Content-Type", ""),
        idempotency_key=_in_utf8(headers.get("Idempotency-Key")),
        producer=_in_utf8(headers.get("X-Quorate-Producer")),
        last_event_id=headers.get("Last-Event-ID"),
        accept=headers.get("Accept", ""),
    )


def _caller() -> Caller:
    """Who asks, as `AsgiApp` found before. A server that does not check callers lets nobody in."""
    scope = flask.request.environ.get("asgi.scope", {})
    caller: Caller = scope.get(CALLER) or Caller("", "public")
    return caller


def _in_utf8(value: str | None) -> str | None:
    """A header that counts in its own bytes. WSGI gives them as Latin-1."""
    try:
        return value and value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Invalid("Idempotency-Key and X-Quorate-Producer are UTF-8") from None


def _as_text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode("latin-1")) for name, value in headers]
