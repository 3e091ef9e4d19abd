"""Votes in, tallies out. In a node the loop answers the first three itself, by the same functions."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request, stream_with_context

from quorate.http.events import HEARTBEAT_S, Stream
from quorate.http.flask_app import asked, on_loop, respond, this_api
from quorate.http.handlers import results, votes

routes = Blueprint("votes", __name__)


@routes.post("/votes")
def cast() -> Response:
    return respond(on_loop(votes.cast(this_api(), asked())))


@routes.get("/polls/<path:poll_id>/results")
def show_results(poll_id: str) -> Response:
    api = this_api()
    return respond(on_loop(results.results(api, asked(), poll_id), timeout_s=api.limits.wait_max_s))


@routes.get("/events")
def events() -> Response:
    api = this_api()
    stream = on_loop(results.follow(api, asked()))
    if request.method == "HEAD":  # of a GET's answer the headers alone: nobody pulls, so nobody else closes it
        api.loop.call_soon_threadsafe(stream.close)
        return _streamed(iter(()))
    return _streamed(stream_with_context(_pull(stream)))


@routes.post("/producers")
def open_producer() -> Response:
    return respond(on_loop(votes.open_producer(this_api(), asked())))


def _streamed(chunks: Iterator[bytes]) -> Response:
    answer = Response(chunks)
    answer.headers.clear()
    answer.headers.extend((name.decode(), value.decode()) for name, value in results.stream_headers(this_api()))
    return answer


def _pull(stream: Stream) -> Iterator[bytes]:
    loop = this_api().loop
    try:
        while (chunk := on_loop(stream.next(), timeout_s=HEARTBEAT_S)) is not None:
            yield chunk
    finally:
        loop.call_soon_threadsafe(stream.close)
