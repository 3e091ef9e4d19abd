"""The ASGI app: hot routes are answered on the loop, by the functions that the Flask views call; the rest is Flask.

Flask runs on a bounded number of threads, and a bounded number of requests may wait for one; beyond that the answer is
503 at once. Its threads never wait for a client: a body is read whole before a thread is taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask

from quorate.errors import Invalid, NotReady, QuorateError
from quorate.http.api import Api
from quorate.http.body import Bodies, ClientGone, Message, Receive
from quorate.http.connection import ANSWER
from quorate.http.events import Stream
from quorate.http.handlers import results, votes
from quorate.http.reply import Reply, headers_of, internal, problem
from quorate.http.request import Request, check_origin

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Served = tuple[str, int]  # (route, status), for the counts

GONE = 499  # the client left before there was an answer: nginx's number, never sent
ROUTES = frozenset(
    (
        *("votes", "polls", "producers", "events", "livez", "readyz", "metrics", "static", "openapi.json"),
        *("leader", "members", "nodes", "status", "version"),
    )
)


class AsgiApp:
    """One a node. With `hot=False` every request goes the Flask way: the contract test compares the two."""

    def __init__(self, api: Api, flask: Flask, *, hot: bool = True) -> None:
        self._api = api
        self._hot = hot
        self._bodies = Bodies()
        self._threads = WSGIMiddleware(flask, workers=api.limits.threads)  # type: ignore[arg-type]  # two spellings of WSGI
        self._in_flask = 0
        self.cutting = False  # the server stops and cancels what did not finish in time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began_s = time.perf_counter()
        try:
            route, status = await self._serve(scope, receive, send)
        except asyncio.CancelledError:
            if not self.cutting:
                raise
            return
        self._api.counts.served(route, status, time.perf_counter() - began_s)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> Served:
        path: str = scope["path"]
        if not self._hot:
            return await self._flask(scope, receive, send)
        if path == "/votes" and scope["method"] == "POST":
            return await self._cast(scope, receive, send)
        if scope["method"] == "GET":
            if path.startswith("/polls/") and path.endswith("/results") and len(path) > 15:
                return await self._look(scope, send, "/polls/{id}/results", results.results, path[7:-8])
            if path.lstrip("/").removesuffix("/") == "events":  # all that Flask's rule matches: none may get a thread
                return await self._follow(scope, receive, send)
            if path == "/livez":
                return await self._look(scope, send, path, results.livez)
            if path == "/readyz":
                return await self._look(scope, send, path, results.readyz)
        return await self._flask(scope, receive, send)

    # ---- on the loop ------------------------------------------------------------------------------------------------

    async def _cast(self, scope: Scope, receive: Receive, send: Send) -> Served:
        request = Request("/votes")
        length = origin = host = None
        try:
            for name, value in scope["headers"]:
                if name == b"content-length":
                    length = value
                elif name == b"content-type":
                    request.content_type = value.decode("latin-1")
                elif name == b"host":
                    host = value
                elif name == b"origin":
                    origin = value
                elif name == b"idempotency-key":
                    request.idempotency_key = _once(request.idempotency_key, value)
                elif name == b"x-quorate-producer":
                    request.producer = _once(request.producer, value)
            if origin is not None:
                check_origin(origin.decode("latin-1"), host and host.decode("latin-1"))
            request.body = await self._bodies.read(receive, length, self._api.limits.body_bytes)
            answer = await votes.cast(self._api, request)
        except QuorateError as error:
            answer = problem(error, "/votes")
        except ClientGone:
            return "/votes", GONE
        except Exception as error:
            answer = internal(error, "/votes")
        await self._send(scope, send, answer)
        return "/votes", answer.status

    async def _look(
        self, scope: Scope, send: Send, route: str, look: Callable[..., Awaitable[Reply]], *arguments: str
    ) -> Served:
        path = scope["path"]
        try:
            answer = await look(self._api, Request(path, _query(scope)), *arguments)
        except QuorateError as error:
            answer = problem(error, path)
        except Exception as error:
            answer = internal(error, path)
        await self._send(scope, send, answer)
        return route, answer.status

    async def _send(self, scope: Scope, send: Send, answer: Reply) -> None:
        headers = headers_of(answer, self._api.replica)
        if ANSWER in scope and scope[ANSWER](answer.status, headers, answer.body):
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _follow(self, scope: Scope, receive: Receive, send: Send) -> Served:
        request = Request("/" + scope["path"].lstrip("/"))  # as Flask calls it
        try:
            request.query = _query(scope)
            for name, value in scope["headers"]:
                if name == b"last-event-id":
                    request.last_event_id = value.decode("latin-1")
            stream = await results.follow(self._api, request)
        except QuorateError as error:
            answer = problem(error, request.path)
            await self._send(scope, send, answer)
            return "/events", answer.status
        await self._stream(stream, receive, send)
        return "/events", 200

    async def _stream(self, stream: Stream, receive: Receive, send: Send) -> None:
        leaving = asyncio.ensure_future(_gone(receive))
        leaving.add_done_callback(lambda _: stream.close())
        self._api.counts.streams += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": results.stream_headers(self._api)})
            while (chunk := await stream.next()) is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._api.counts.streams -= 1
            leaving.cancel()
            stream.close()

    # ---- on Flask's threads -----------------------------------------------------------------------------------------

    async def _flask(self, scope: Scope, receive: Receive, send: Send) -> Served:
        path = scope["path"]
        route = _route(path)
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            body = await self._bodies.read(receive, _length(scope), self._limit(path))
            _query(scope)
            await self._on_thread(scope, _given(body, receive), note)
            return route, status
        except QuorateError as error:
            answer = problem(error, path)
        except ClientGone:
            return route, GONE
        except Exception as error:
            if status:
                raise  # the answer has begun: only cutting it short says that it failed
            answer = internal(error, path)
        await self._send(scope, send, answer)
        return route, answer.status

    async def _on_thread(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits = self._api.limits
        if self._in_flask >= limits.threads + limits.waiting:
            raise NotReady("this node answers as many requests of this kind as it can; try again in a moment")
        self._in_flask += 1
        try:
            await self._threads(scope, receive, send)  # type: ignore[arg-type]  # a2wsgi spells ASGI's types out
        finally:
            self._in_flask -= 1

    def _limit(self, path: str) -> int:
        return self._api.limits.poll_bytes if path == "/polls" else self._api.limits.body_bytes

    def stop(self) -> None:
        """Give the threads back. Idempotent."""
        self._threads.executor.shutdown(wait=False, cancel_futures=True)


def _query(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    if not query.isascii():
        raise Invalid("the query has bytes that are not ASCII; percent-encode them")
    return query.decode("ascii")


def _once(before: str | None, value: bytes) -> str:
    """A header that says what a vote's fate hangs on: given once, in UTF-8."""
    if before is not None:
        raise Invalid("Idempotency-Key or X-Quorate-Producer is given twice")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Invalid("Idempotency-Key and X-Quorate-Producer are UTF-8") from None


def _length(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            length: bytes = value
            return length
    return None


def _route(path: str) -> str:
    """A name for the counts, of which there are few whatever clients ask for."""
    first, _, rest = path[1:].partition("/")
    if first not in ROUTES:
        return "/" if not first else "other"
    return f"/{first}" if not rest else f"/{first}/{{id}}"


def _given(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read before."""
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def give() -> Message:
        nonlocal message
        if message is None:
            return await receive()
        given, message = message, None
        return given

    return give


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
