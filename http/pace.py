"""Lets so many begin a second and no more, as handshakes of TLS do: each of them costs the loop some tenths of a
millisecond, and a flood of them must not keep a leader from being heard.

The newest waits least: under a flood nobody would be served in time in the order of arrival, and most of those who have
waited long have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pace:
    """Used on the loop. `at_once` may begin without waiting after a quiet time."""

    def __init__(self, per_s: float, at_once: int, clock: Callable[[], float] | None = None) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._turns = float(at_once)
        self._counted_s = self._clock()
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self) -> None:
        """Wait until one more may begin. Whoever stops waiting takes no turn."""
        mine: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(mine)
        if self._timer is None:
            self._serve()
        await mine

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in self._waiting:
            waiting.cancel()
        self._waiting.clear()

    def _serve(self) -> None:
        now_s = self._clock()
        self._turns = min(self._at_once, self._turns + (now_s - self._counted_s) * self._per_s)
        self._counted_s = now_s
        while self._waiting and self._turns >= 1:
            newest = self._waiting.pop()
            if not newest.done():
                newest.set_result(None)
                self._turns -= 1
        self._timer = self._loop.call_later(1 / self._per_s, self._serve) if self._waiting else None
