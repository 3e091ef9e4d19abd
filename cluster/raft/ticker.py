"""When a replica ticks: as soon as something has happened, and every few milliseconds anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TICK_S = 0.02


class Ticker:
    """Calls `tick` on the loop. What has happened in one turn of the loop makes one tick.

    Nothing is ticked while `is_running` says no, and after `stop`.
    """

    def __init__(self, tick: Callable[[], None], is_running: Callable[[], bool], tick_s: float = TICK_S) -> None:
        self._call, self._is_running, self._tick_s = tick, is_running, tick_s
        self._loop: asyncio.AbstractEventLoop | None = None  # since it was started
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tick now, and again and again."""
        self._loop = loop = self._loop or asyncio.get_running_loop()
        self._tick()
        if self._is_running():
            self._timer = loop.call_later(self._tick_s, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def soon(self) -> None:
        """Something has happened."""
        if not self._scheduled and self._is_running():
            self._scheduled = True
            (self._loop or asyncio.get_running_loop()).call_soon(self._tick)

    def _tick(self) -> None:
        self._scheduled = False
        if self._is_running():
            self._call()
