"""Lets so many begin a second and no more, as handshakes of TLS do: each of them costs the loop some tenths of a
millisecond, and a flood of them must not keep a leader from being heard.

The addresses take turns, so that one that floods waits for itself. Of one address the newest goes first: under a flood
nobody would be served in time in the order of arrival, and most of those who have waited long have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Waiting = dict[asyncio.Future[None], None]  # oldest first


class Pace:
    """Used on the loop. `at_once` may begin without waiting after a quiet time."""

    def __init__(self, per_s: float, at_once: int, clock: Callable[[], float] | None = None) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._turns = float(at_once)
        self._counted_s = self._clock()
        self._waiting: dict[str, Waiting] = {}  # by address, the one whose turn is next first; none is empty
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(waiting) for waiting in self._waiting.values())

    async def turn(self, key: str) -> None:
        """Wait until one more of this address may begin. Whoever stops waiting takes no turn."""
        mine: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(key, {})[mine] = None
        if self._timer is None:
            self._serve()
        try:
            await mine
        finally:
            self._forget(key, mine)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in self._waiting.values():
            for each in waiting:
                each.cancel()

    def _serve(self) -> None:
        now_s = self._clock()
        self._turns = min(self._at_once, self._turns + (now_s - self._counted_s) * self._per_s)
        self._counted_s = now_s
        while self._waiting and self._turns >= 1:
            key = next(iter(self._waiting))
            waiting = self._waiting.pop(key)
            newest, _ = waiting.popitem()
            if waiting:
                self._waiting[key] = waiting  # behind the others
            if not newest.done():
                newest.set_result(None)
                self._turns -= 1
        self._timer = self._loop.call_later(1 / self._per_s, self._serve) if self._waiting else None

    def _forget(self, key: str, mine: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.pop(mine, None)
            if not waiting:
                del self._waiting[key]
