"""When a replica ticks: every few milliseconds. When something has happened, it makes a step as soon as it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TICK_S = 0.02


class Ticker:
    """Calls `tick` and `step` on the loop. What has happened in one turn of the loop makes one step.

    Nothing is called while `is_running` says no, and after `stop`.
    """

    def __init__(
        self,
        tick: Callable[[], None],
        step: Callable[[], None],
        is_running: Callable[[], bool],
        tick_s: float = TICK_S,
    ) -> None:
        self._tick, self._call_step, self._is_running, self._tick_s = tick, step, is_running, tick_s
        self._loop: asyncio.AbstractEventLoop | None = None  # since it was started
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tick now, and again and again."""
        self._loop = loop = self._loop or asyncio.get_running_loop()
        if self._is_running():
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
            (self._loop or asyncio.get_running_loop()).call_soon(self._step)

    def _step(self) -> None:
        self._scheduled = False
        if self._is_running():
            self._call_step()
