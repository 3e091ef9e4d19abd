"""Requests with very many votes: one at a time at each node, and callers take turns.

Each costs every node as much as thousands of small ones, and the small ones that come later would wait behind all of
them. One that is refused, or most of whose votes are, costs most of all and brings nothing. After it there is a rest,
before the next begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from quorate.errors import Overloaded
from quorate.fair_lock import FairLock
from quorate.http.reply import Reply

BIG_ANSWER_BYTES = (
    64 * 1024
)  # the answer to votes that are counted is short; each that is refused has a line of its own
REST, REST_MAX_S = 4.0, 2.0  # times as long as it took


class BigVotes:
    """Used on the node's loop."""

    def __init__(self) -> None:
        self._one = FairLock()

    async def cast(self, cast: Callable[[], Awaitable[Reply]], timeout_s: float, who: str = "") -> Reply:
        """Call `cast` when it is the turn of `who` asks. Raises `Overloaded` if that does not come in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._one.acquire(who)
        except TimeoutError:
            raise Overloaded(
                "too many requests with very many votes wait on this node; try again in a moment"
            ) from None
        loop = asyncio.get_running_loop()
        began_s, rests = loop.time(), True
        try:
            answer = await cast()
            rests = len(answer.body) > BIG_ANSWER_BYTES
            return answer
        finally:
            took_s = loop.time() - began_s
            if rests:
                loop.call_later(min(REST * took_s, REST_MAX_S), self._one.release)
            else:
                self._one.release()
