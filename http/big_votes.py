"""Requests with very many votes: one at a time at each node, and callers take turns.

Each costs this node as much as thousands of small ones, and the small ones that come later would wait behind all of
them. After one that is refused, or many of whose votes are, there is a rest before the next begins, since it costs most
of all and brings nothing. Those that count have their rests on the leader (`cluster/submit/departures.py`).

Others that are not small (`SMALL_BYTES`) are counted side by side, since they share a batch. But one of them is read
and put into its batch in a turn of the loop, and callers take turns: a hundred that came at once would keep the loop
from all small ones for a tenth of a second.

What is big is told by the body, but many votes that are refused fit into a smaller one. So whoever sent one of these
has all but the small requests counted like this for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from quorate.errors import Overloaded
from quorate.fair_lock import FairLock
from quorate.http.parse_pool import BIG_BYTES
from quorate.http.reply import Reply

SMALL_BYTES = 4096  # of a body: some fifty votes at the most
REFUSED_BYTES = 16 * 1024  # the answer to votes that are counted is short; each that is refused has a line of its own
REST_AFTER_REFUSED, REST_MAX_S = 4.0, 2.0  # times as long as it took
WATCHED_S = 10.0  # after the last request that had many votes refused
WATCHED_MAX = 1024  # callers

Cast = Callable[[], Awaitable[Reply]]


class BigVotes:
    """Used on the node's loop."""

    def __init__(self) -> None:
        self._one = FairLock()
        self._turn = FairLock()
        self._watched: dict[str, float] = {}  # by caller: until when; the one that has the longest is the last

    async def cast(self, cast: Cast, size: int, timeout_s: float, who: str = "") -> Reply:
        """Call `cast` for a body of `size` bytes that `who` sent: at once, or when it is their turn.

        Raises `Overloaded` if their turn does not come in time.
        """
        if size >= BIG_BYTES or self._is_watched(who):
            return await self._one_at_a_time(cast, timeout_s, who)
        await _acquire(self._turn, timeout_s, who)
        asyncio.get_running_loop().call_soon(self._turn.release)
        answer = await cast()
        self._look_at(answer, who)
        return answer

    async def _one_at_a_time(self, cast: Cast, timeout_s: float, who: str) -> Reply:
        await _acquire(self._one, timeout_s, who)
        loop = asyncio.get_running_loop()
        began_s, rests = loop.time(), True
        try:
            answer = await cast()
            rests = self._look_at(answer, who)
            return answer
        finally:
            if rests:
                rest_s = min(REST_AFTER_REFUSED * (loop.time() - began_s), REST_MAX_S)
                loop.call_later(rest_s, self._one.release)
            else:
                self._one.release()

    # ---- who sends much that is refused -----------------------------------------------------------------------------

    def _look_at(self, answer: Reply, who: str) -> bool:
        """Whether many votes were refused."""
        if len(answer.body) <= REFUSED_BYTES:
            return False
        self._watched.pop(who, None)
        self._watched[who] = asyncio.get_running_loop().time() + WATCHED_S
        if len(self._watched) > WATCHED_MAX:
            del self._watched[next(iter(self._watched))]
        return True

    def _is_watched(self, who: str) -> bool:
        until_s = self._watched.get(who)
        if until_s is None:
            return False
        if until_s > asyncio.get_running_loop().time():
            return True
        del self._watched[who]
        return False


async def _acquire(lock: FairLock, timeout_s: float, who: str) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await lock.acquire(who)
    except TimeoutError:
        raise Overloaded("too many requests with many votes wait on this node; try again in a moment") from None
