"""Reads that wait for a version, in a number that is bounded: a version may be far away, or never come.

To give up costs little, also when a thousand do so in one moment: those that gave up are taken away when they are half
of all.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools

from quorate.errors import Overloaded
from quorate.words import count

WAITING_MAX = 1_000


class VersionWaits:
    """Used on the node's loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []  # (version, tie, what is waited for)
        self._ties = itertools.count()
        self._given_up = 0  # of those in the heap

    def __len__(self) -> int:
        return len(self._heap) - self._given_up

    async def until(self, version: int, wait_s: float) -> bool:
        """Whether `reached` was told of that version within `wait_s`. Raises `Overloaded` if too many wait."""
        if wait_s <= 0:
            return False
        if len(self) >= WAITING_MAX:
            raise Overloaded(
                f"{count(WAITING_MAX, 'read')} wait on this node for versions to come already; ask without min_version"
            )
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (version, next(self._ties), reached))
        try:
            async with asyncio.timeout(wait_s):
                await reached
        except TimeoutError:
            return False
        finally:
            if reached.cancelled():
                self._forget_one()
        return True

    def reached(self, version: int) -> None:
        while self._heap and self._heap[0][0] <= version:
            waited = heapq.heappop(self._heap)[2]
            if waited.done():
                self._given_up -= 1
            else:
                waited.set_result(None)

    def _forget_one(self) -> None:
        self._given_up += 1
        if 2 * self._given_up >= len(self._heap):
            self._heap = [each for each in self._heap if not each[2].done()]
            heapq.heapify(self._heap)
            self._given_up = 0
