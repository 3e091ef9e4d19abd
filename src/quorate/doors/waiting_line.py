"""Requests that were sent before their client had the answer to the one before, of all connections: in one line.

A client that sends thousands of requests at once has each begun in the moment in which the one before is answered. Of a
hundred such clients a hundred requests are done in every turn of the loop, and whoever asks for one thing waits for all
of them at each step of the way. So only a few of them begin in a millisecond, in the order in which their turn came.
For one client that is no bound: its next request comes to the line when the one before is answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

BEGIN = 4  # in each step, of requests that take some 50 µs each
STEP_S = 0.001


class WaitingLine:
    """Used on the node's loop. `most` begin in a step."""

    def __init__(self, most: int = BEGIN, step_s: float = STEP_S) -> None:
        self._most, self._step_s = most, step_s
        self._waiting: deque[Callable[[], None]] = deque()
        self._left = most  # in this step
        self._step: asyncio.TimerHandle | None = None

    def join(self, begin: Callable[[], None]) -> None:
        """Call `begin` now, or in its turn."""
        if self._step is None:
            self._step = asyncio.get_running_loop().call_later(self._step_s, self._next_step)
        if self._left and not self._waiting:
            self._left -= 1
            begin()
        else:
            self._waiting.append(begin)

    def _next_step(self) -> None:
        self._step, self._left = None, self._most
        if self._waiting:
            self._step = asyncio.get_running_loop().call_later(self._step_s, self._next_step)
        while self._waiting and self._left:
            self._left -= 1
            self._waiting.popleft()()
