"""A question to the leader that many readers share: one is under way at a time.

Who comes while it is under way shares the next one: what is true at the leader when it is asked may be too old for
those who come later. So however many read, the leader is asked as often as it answers, and beside votes only now and
then: a majority has to confirm each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from quorate.errors import QuorateError

ASKED_S = 2.0  # how long a question may wait for a leader
BESIDE_VOTES_S = 0.005  # from one question to the next

T = TypeVar("T")


class SharedQuestion(Generic[T]):
    """Used on one loop. `ask` has a deadline of its own. `votes_come`: whether some were applied a moment ago."""

    def __init__(self, ask: Callable[[], Awaitable[T]], votes_come: Callable[[], bool]) -> None:
        self._ask, self._votes_come = ask, votes_come
        self._may_ask_s = float("-inf")
        self._under_way: asyncio.Future[T | None] | None = None
        self._next: asyncio.Future[T | None] | None = None

    async def answer(self, deadline_s: float) -> T | None:
        """To a question that is asked after this call. None: there was none in time; who asks alone learns why."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._asked_after(self._under_way))
        try:
            async with asyncio.timeout_at(deadline_s):
                return await asyncio.shield(self._next)  # others may wait for it
        except TimeoutError:
            return None

    async def _asked_after(self, before: asyncio.Future[T | None] | None) -> T | None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        loop = asyncio.get_running_loop()
        if self._may_ask_s > loop.time() and self._votes_come():
            await asyncio.sleep(self._may_ask_s - loop.time())
        self._may_ask_s = loop.time() + BESIDE_VOTES_S
        self._under_way, self._next = self._next, None
        try:
            return await self._ask()
        except QuorateError:
            return None
