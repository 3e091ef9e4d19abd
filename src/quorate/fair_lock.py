"""A lock for which callers take turns, so that one that asks for it a thousand times waits for itself."""

from __future__ import annotations

import asyncio
from collections import deque


class FairLock:
    """Used on one loop. `who` asks for it; of one, the first that came goes first."""

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # whose turn is next comes first; none is empty

    async def acquire(self, who: str = "") -> None:
        if not self._is_held:
            self._is_held = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.release()  # it was given the lock, and has left
            else:
                self._forget(who, mine)
            raise

    def release(self) -> None:
        while self._waiting:
            who = next(iter(self._waiting))
            waiting = self._waiting.pop(who)
            next_one = waiting.popleft()
            if waiting:
                self._waiting[who] = waiting  # behind the others
            if not next_one.done():
                next_one.set_result(None)  # the lock is handed over
                return
        self._is_held = False

    def _forget(self, who: str, mine: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(who)
        if waiting is not None and mine in waiting:
            waiting.remove(mine)
            if not waiting:
                del self._waiting[who]
