"""Sends the requests of a client for asyncio. It belongs to one event loop, whose tasks may share it.

A cancelled request closes its connection, and leaves no task and no thread behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlencode

from quorate.client.asking import Asking, NextAttempt, NodeUrls, RetryTimes
from quorate.client.calls import Call, ClientReply
from quorate.client.error_replies import UNKNOWN_ISSUER, Unreached, answer_error
from quorate.errors import Invalid, OutcomeUnknown, Overloaded, QuorateError
from quorate.web.async_session import AsyncLimits, AsyncWebFailed, AsyncWebSession
from quorate.web.words import PLAIN, by_way_of

T = TypeVar("T")
Piece = Callable[[], Awaitable[bytes]]
AT_ONCE = 64  # requests on their way; more wait here, where they are surely not sent


class AsyncNodeAsker:
    """`token` is sent with every request. `ca` is a file of the certificates whose signature is trusted."""

    def __init__(self, nodes: NodeUrls, *, token: str | None = None, ca: str | None = None) -> None:
        self.nodes = nodes
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._ca = ca
        self._session: AsyncWebSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, call: Call[T], times: RetryTimes) -> ClientReply:
        """Ask until a node answers or the time is over."""
        await self.find_nodes()
        asking = Asking(call, self.nodes, times, time.monotonic)
        async with self._place(times.timeout_s):
            while True:
                try:
                    reply = await self._attempt(call, asking.begin())
                except QuorateError as error:
                    pause_s = asking.failed(error)
                else:
                    asking.answered()
                    return reply
                await asyncio.sleep(pause_s)
                if asking.wants_nodes:
                    await self.find_again(asking)

    @contextlib.asynccontextmanager
    async def stream(self, call: Call[T], node: str, limits: AsyncLimits) -> AsyncIterator[Piece]:
        """What reads the answer, as it comes: see `AsyncAnswer.piece`. Raises QuorateError, also while it is read."""
        try:
            async with self._opened().request(call.method, node + call.path, limits, call.headers) as answer:
                if answer.status >= 300:
                    raise answer_error(answer.status, await answer.body(), answer.headers, node, by_way_of(node))
                yield answer.piece
        except AsyncWebFailed as failed:
            raise _no_answer(node, failed) from None

    async def find_nodes(self) -> None:
        """Raises `NoLeader` if none are known and none can be found."""
        if not self.nodes.urls and self.nodes.find is not None:
            self.nodes.replace(await asyncio.to_thread(self.nodes.find))

    async def find_again(self, asking: Asking) -> None:
        with contextlib.suppress(QuorateError):  # then those that are known are asked again
            assert self.nodes.find is not None
            asking.go_on_with(await asyncio.to_thread(self.nodes.find))

    @contextlib.asynccontextmanager
    async def _place(self, timeout_s: float) -> AsyncIterator[None]:
        """For half of the time at most: a request that is begun too late would end in doubt."""
        try:
            async with asyncio.timeout(timeout_s / 2):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded(f"{AT_ONCE} requests of this client were on their way for {timeout_s / 2:g} s") from None
        try:
            yield
        finally:
            self._places.release()

    async def _attempt(self, call: Call[T], attempt: NextAttempt) -> ClientReply:
        node, query = attempt.node, urlencode(call.given_params())
        url = f"{node}{call.path}?{query}" if query else f"{node}{call.path}"
        limits = AsyncLimits(attempt.connect_s, total_s=attempt.answer_s)
        try:
            async with self._opened().request(call.method, url, limits, call.all_headers(), call.body) as answer:
                body = await answer.body()
        except AsyncWebFailed as failed:
            raise _no_answer(node, failed) from None
        if answer.status >= 300:
            raise answer_error(answer.status, body, answer.headers, node, by_way_of(node))
        return ClientReply.of(answer.status, body, node, answer.headers)

    def _opened(self) -> AsyncWebSession:
        loop = asyncio.get_running_loop()
        if self._session is None:
            self._session, self._loop = AsyncWebSession(self._headers, ca=self._ca), loop
        if loop is not self._loop:
            raise RuntimeError("an AsyncClient belongs to the event loop in which it was first used")
        return self._session


def _no_answer(node: str, failed: AsyncWebFailed) -> QuorateError:
    """A request that was never sent had no effect. After that, the effect is unknown."""
    by, why = by_way_of(node), str(failed)
    if failed.reason == "no_url":
        return Invalid(f"{node!r} is no node's URL; give one as http://127.0.0.1:8001")
    if failed.reason == "refused":
        if UNKNOWN_ISSUER.search(why):
            why += "; name the authority that signed it by --ca (QUORATE_CA)"
        return Unreached(f"{node} cannot be reached{by}" if why == PLAIN else f"{node} cannot be reached: {why}{by}")
    what = "did not answer in time" if failed.reason == "stalled" else "broke the connection"
    return OutcomeUnknown(f"{node} {what}{by}")
