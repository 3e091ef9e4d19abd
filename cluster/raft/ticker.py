"""When a replica ticks: every few milliseconds. When something has happened, it makes a step as soon as it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TICK_S = 0.02


class Ticker:
    """Has `tick` and `step` called on the loop, by `run`. What has happened in one turn of the loop makes one step.

    `run` calls what it is given, unless that may not be done any more: then it returns False, and no tick follows.
    """

    def __init__(
        self,
        tick: Callable[[], None],
        step: Callable[[], None],
        run: Callable[[Callable[[], None]], bool],
        tick_s: float = TICK_S,
    ) -> None:
        self._tick, self._step, self._run, self._tick_s = tick, step, run, tick_s
        self.loop: asyncio.AbstractEventLoop | None = None  # since it was started
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tick now, and again and again."""
        self.loop = loop = self.loop or asyncio.get_running_loop()
        if self._run(self._tick):
            self._timer = loop.call_later(self._tick_s, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def soon(self) -> None:
        """Something has happened."""
        if not self._scheduled:
            self._scheduled = True
            (self.loop or asyncio.get_running_loop()).call_soon(self._make_step)

    def _make_step(self) -> None:
        self._scheduled = False
        self._run(self._step)
