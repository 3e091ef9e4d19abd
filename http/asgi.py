"""The ASGI app: the node's loop answers the hot routes itself, and Flask answers the others on its threads.

The number of threads is bounded, and so is the number of requests that wait for one. Further requests are answered 503
at once. A thread never waits for a client: a body is read completely before the request takes a thread, and an answer
is collected before it is sent. An answer is not sent while clients leave too much unread (`unsent.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from quorate.doors.address_shares import AddressShares
from quorate.doors.caller_places import CallerPlaces, holder_of
from quorate.doors.event_stream import Stream
from quorate.doors.unsent import BIG_BYTES
from quorate.errors import NotReady, Overloaded, QuorateError
from quorate.http.answer import ANSWER, send_event, send_parts
from quorate.http.api import Api
from quorate.http.body import Bodies, ClientGone, Message, Receive
from quorate.http.collected import Collected
from quorate.http.connection import CONNECTION, READING, HttpConnection
from quorate.http.counts import GONE
from quorate.http.crossing import PAGE, answer_beforehand, readable_by
from quorate.http.download import Download, send_download
from quorate.http.flask_loader import FlaskLoader, LoadedFlask
from quorate.http.handlers.events import stream_headers
from quorate.http.reply import Headers, Reply, headers_of, internal, problem, signature
from quorate.http.request import Request
from quorate.http.routing import InTurn, Match, Rendering, Route, Router
from quorate.http.scope import CALLER, Scope, caller_of, length_of, query_of, read_headers, without_last_slash
from quorate.tracing import REQUEST, RequestTrace

if TYPE_CHECKING:
    from flask import Response

Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")

LOOK_AGAIN_S = 0.25  # for room, when clients leave too much unread


class AsgiApp:
    """Each node has one. With `hot=False` Flask answers every request: the contract test compares the two."""

    def __init__(self, api: Api, flask: FlaskLoader, router: Router, *, hot: bool = True) -> None:
        self._api = api
        self._flask = flask
        self._router = router
        self._hot = hot
        self._bodies = Bodies(lambda: api.replica.state.version)
        self._in_flask = 0
        self._flask_places = CallerPlaces(api.limits.threads + api.limits.waiting, "requests of this kind")
        self._flask_shares = AddressShares(api.limits.threads + api.limits.waiting, api.limits.address_percent)
        self._cut = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began_s = time.perf_counter()
        method, path = scope["method"], without_last_slash(scope)
        trace = None if self._api.tracer is None else self._begin_trace(method, scope)
        try:
            match = self._router.find(method, path) or (await self._flask.get()).url_map.find(method, path)
            if (told := self._admit(match, scope)) is not None:
                await self._send(scope, send, told)
                status = told.status
            elif match.route is not None and self._hot and (match.hot or _is_on_loop(match.route, method)):
                status = await self._on_loop(match.route, match.arguments, scope, receive, send)
            else:
                status = await self._by_flask(match, scope, receive, send)
        except asyncio.CancelledError:
            if not self._cut and not _is_gone(scope):
                raise
            return
        self._api.counts.served(match.name, status, time.perf_counter() - began_s)
        if trace is not None and self._api.tracer is not None:
            self._api.tracer.end(trace, match.name, status)

    def _begin_trace(self, method: str, scope: Scope) -> RequestTrace | None:
        """Of what may change something: reads are quick, and are timed by the metrics."""
        assert self._api.tracer is not None
        trace = self._api.tracer.begin(scope["headers"]) if method == "POST" else None
        REQUEST.set(trace)
        return trace

    def _admit(self, match: Match, scope: Scope) -> Reply | None:
        """Note in the scope who asks. Returns the refusal if this caller may not use the route, or not by this name, or
        what is answered to a browser that asks beforehand."""
        try:
            origin = self._api.origins.check(scope["headers"])
            if origin is not None:
                scope[PAGE] = readable_by(origin)
                if (beforehand := answer_beforehand(scope)) is not None:
                    return beforehand
            scope[CALLER] = caller_of(scope, self._api.access, match.role)
        except QuorateError as error:
            return problem(error, scope["path"])
        return None

    # ---- on the loop ------------------------------------------------------------------------------------------------

    async def _on_loop(
        self, route: Route, arguments: tuple[str, ...], scope: Scope, receive: Receive, send: Send
    ) -> int:
        """Answer a request for a hot route, or for one that may wait long. Returns the status."""
        path = "/" + scope["path"].lstrip("/")  # as Flask spells it
        request = Request(path, scope[CALLER])
        try:
            await self._read(request, route, scope, receive)
            if route.method == "GET":
                scope[READING] = asyncio.current_task()
            self._api.access.check_holds(request.caller)
            answer = await route.answer(self._api, request, arguments)
            if route.method == "GET":  # a change is done by now, and is answered as done
                self._api.access.check_holds(request.caller)
            if callable(answer) and not isinstance(answer, InTurn):
                answer = await self._render(scope, answer)
        except QuorateError as error:
            answer = problem(error, path)
        except ClientGone:
            return GONE
        except Exception as error:
            answer = internal(error, path)
        finally:
            self._bodies.done(request.body)
        if isinstance(answer, InTurn):
            async with self._api.turns.of(holder_of(request.caller)):
                return await self._send(scope, send, answer.make())
        if isinstance(answer, Download):
            return await self._download(answer, path, scope, send)
        if isinstance(answer, Reply):
            return await self._send(scope, send, answer)
        assert isinstance(answer, Stream), "a hot route answers with a Reply or a Stream"
        await self._stream(answer, scope, send)
        return 200

    async def _read(self, request: Request, route: Route, scope: Scope, receive: Receive) -> None:
        if route.method != "GET":
            length = read_headers(request, scope)
            request.body = await self._bodies.read(receive, length, route.body_max(self._api.limits), scope)
            return
        request.query = query_of(scope)
        for name, value in scope["headers"]:
            if name == b"last-event-id":
                request.last_event_id = value.decode("latin-1")
            elif name == b"accept":
                request.accept = value.decode("latin-1")

    async def _send(self, scope: Scope, send: Send, answer: Reply) -> int:
        """Send it, or the refusal of an answer that is too big for now. Returns the status."""
        if len(answer.body) > BIG_BYTES and not _has_room(scope, len(answer.body)):
            answer = _too_much_unread(scope)
        return await self._hand_over(scope, send, answer.status, headers_of(answer, self._api.replica), answer.body)

    async def _hand_over(self, scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> int:
        scope[CONNECTION].is_in_vain = status // 100 == 4
        if PAGE in scope:
            headers = [*headers, *scope[PAGE]]
        if ANSWER not in scope or not scope[ANSWER](status, headers, body):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        return status

    async def _download(self, download: Download, path: str, scope: Scope, send: Send) -> int:
        signed = list(signature(self._api.replica))
        error = await send_download(download, signed, scope, send, self._api.limits)
        return 200 if error is None else await self._send(scope, send, problem(error, path))

    async def _stream(self, stream: Stream, scope: Scope, send: Send) -> None:
        """Until it ends, or its client leaves: then this is cancelled."""
        connection: HttpConnection = scope[CONNECTION]
        cycle = connection.answering
        assert cycle is not None, "it is answered just now"
        self._api.counts.streams += 1
        stream.begin_sending(connection.break_off, partial(send_event, cycle))
        try:
            headers = [*stream_headers(self._api, stream), *scope.get(PAGE, ())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while await self._send_events(stream, connection, send):
                pass
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._api.counts.streams -= 1
            stream.end_sending()

    async def _send_events(self, stream: Stream, connection: HttpConnection, send: Send) -> bool:
        """Send the next events when the client has read those before, and when there is room. False: no more come.

        Nothing is awaited between taking and writing: an event that is sent at once must not overtake what was taken.
        """
        await stream.ready()
        await connection.drained()
        if stream.size <= BIG_BYTES:
            return await _send_chunk(stream.take(), send)
        async with self._api.turns:  # thousands of streams may have the same news
            if stream.closed or connection.has_room_for(stream.size):
                return await _send_big(stream.take_parts(), connection, send)
        await asyncio.sleep(LOOK_AGAIN_S)
        return True

    # ---- on Flask's threads -----------------------------------------------------------------------------------------

    async def _by_flask(self, match: Match, scope: Scope, receive: Receive, send: Send) -> int:
        """Let Flask answer, also with 404 or 405 if there is no route. Returns the status."""
        collected, body = Collected(send), b""
        limits = self._api.limits
        try:
            body_max = match.route.body_max(limits) if match.route is not None else limits.small_body_bytes
            body = await self._bodies.read(receive, length_of(scope), body_max, scope)
            query_of(scope)
            await self._on_thread(scope, partial(_ask_flask, scope, _given(body, receive), collected.take))
        except QuorateError as error:
            answer = problem(error, scope["path"])
        except ClientGone:
            return GONE
        except Exception as error:
            if collected.is_stream:
                raise  # a part of the answer is sent: only a broken connection can tell the client that the rest failed
            answer = internal(error, scope["path"])
        else:
            return collected.status if collected.is_stream else await self._send_collected(scope, send, collected)
        finally:
            self._bodies.done(body)
        return await self._send(scope, send, answer)

    async def _send_collected(self, scope: Scope, send: Send, collected: Collected) -> int:
        body = collected.body
        if len(body) > BIG_BYTES and not _has_room(scope, len(body)):
            return await self._send(scope, send, _too_much_unread(scope))
        headers = collected.headers(len(body), scope["method"])
        return await self._hand_over(scope, send, collected.status, headers, body)

    async def _render(self, scope: Scope, rendering: Rendering) -> Reply:
        loop = asyncio.get_running_loop()

        def render() -> Reply | Response:
            with self._api.thread_turns.work():
                return rendering()

        answer = await self._on_thread(scope, lambda flask: loop.run_in_executor(flask.threads.executor, render))
        assert isinstance(answer, Reply), "only files are answered in another way, and nothing waits for them"
        return answer

    async def _on_thread(self, scope: Scope, work: Callable[[LoadedFlask], Awaitable[T]]) -> T:
        """Have one of Flask's threads do this, or refuse it if too much waits for them, of this address or of all."""
        limits, key = self._api.limits, _share_key(scope)
        if self._in_flask >= limits.threads + limits.waiting:
            raise NotReady("this node answers as many requests of this kind as it can; try again in a moment")
        if self._flask_shares.is_full(key):
            raise Overloaded("this address waits for as many answers of this kind as its share (http.address_percent)")
        self._flask_places.take(scope[CALLER])
        self._in_flask += 1
        self._flask_shares.take(key)
        try:
            return await work(await self._flask.get())
        finally:
            self._in_flask -= 1
            self._flask_places.give_back(scope[CALLER])
            self._flask_shares.give_back(key)

    def cut(self) -> None:
        """Requests that are cancelled from now on end quietly: the server stops and cancels those that remain."""
        self._cut = True


def _ask_flask(scope: Scope, receive: Receive, send: Send, flask: LoadedFlask) -> Awaitable[None]:
    return flask.threads(scope, receive, send)  # type: ignore[arg-type]  # a2wsgi spells ASGI's types out


def _is_on_loop(route: Route, method: str) -> bool:
    """Whether the loop answers this request, though its route is not hot. It may wait long, or have a big body."""
    return route.on_loop and method in (route.method, "HEAD")


def _share_key(scope: Scope) -> str:
    connection: HttpConnection | None = scope.get(CONNECTION)
    return "" if connection is None else connection.share_key


def _is_gone(scope: Scope) -> bool:
    """Whether the client has left."""
    connection: HttpConnection | None = scope.get(CONNECTION)
    return connection is not None and connection.is_lost


def _has_room(scope: Scope, size: int) -> bool:
    """Whether an answer of this size may be sent now. That of a change always may: it says what was done."""
    connection: HttpConnection | None = scope.get(CONNECTION)
    return connection is None or connection.has_room_for(size) or scope["method"] != "GET"


def _too_much_unread(scope: Scope) -> Reply:
    words = "other clients of this node have not read their answers, and there is no room for this one now; try again"
    return problem(Overloaded(words), scope["path"])


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


async def _send_chunk(chunk: bytes | None, send: Send) -> bool:
    if chunk is not None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    return chunk is not None


async def _send_big(parts: list[bytes] | None, connection: HttpConnection, send: Send) -> bool:
    cycle = connection.answering
    if parts is not None and cycle is not None and send_parts(cycle, parts):
        return True
    return await _send_chunk(None if parts is None else b"".join(parts), send)
