"""Tallies as they change, for asyncio. It goes on at another node when its node is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Self

from quorate.client.asking import CONNECT_TIMEOUT_S, Asking, RetryTimes
from quorate.client.async_asker import AsyncNodeAsker
from quorate.client.followed import SILENCE_S, STEADY_S, Event, Followed
from quorate.errors import OutcomeUnknown, QuorateError
from quorate.web.async_session import AsyncLimits


class AsyncEventStream:
    """An async iterator for one task. `async with`, or `aclose`, closes its connection."""

    def __init__(self, asker: AsyncNodeAsker, followed: Followed, times: RetryTimes) -> None:
        self._asker, self._followed, self._times = asker, followed, times
        self._events = self._follow()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def aclose(self) -> None:
        await self._events.aclose()

    async def _follow(self) -> AsyncGenerator[Event, None]:
        await self._asker.find_nodes()
        asking = self._asking()
        while True:
            node, begin_s = asking.begin().node, time.monotonic()
            try:
                async with contextlib.aclosing(self._one_connection(node)) as events:
                    async for event in events:
                        yield event
                error: QuorateError = OutcomeUnknown(f"{node} ended the stream of events")
            except QuorateError as failed:
                error = failed
            if time.monotonic() - begin_s >= STEADY_S:
                asking = self._asking()
            await asyncio.sleep(asking.failed(error))
            if asking.wants_nodes:
                await self._asker.find_again(asking)

    def _asking(self) -> Asking:
        return Asking(self._followed.call(), self._asker.nodes, self._times, time.monotonic)

    async def _one_connection(self, node: str) -> AsyncGenerator[Event, None]:
        self._followed.begin()
        limits = AsyncLimits(min(CONNECT_TIMEOUT_S, self._times.timeout_s), silence_s=SILENCE_S)
        async with self._asker.stream(self._followed.call(), node, limits) as read:
            while piece := await read():
                for event in self._followed.feed(piece, node):
                    yield event
