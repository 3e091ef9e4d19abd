"""X takes so many requests of a kind in 15 minutes. Another one waits here, so that X need not refuse it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 15 * 60.0


class RateWindow:
    def __init__(self, requests: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests, self._clock = requests, clock
        self._times: deque[float] = deque()

    def wait_s(self) -> float:
        """How long to wait with the request that comes now. It is counted."""
        now_s = self._clock()
        while self._times and self._times[0] <= now_s - WINDOW_S:
            self._times.popleft()
        pause_s = 0.0
        if len(self._times) >= self._requests:
            pause_s = self._times.popleft() + WINDOW_S - now_s
        self._times.append(now_s + pause_s)
        return pause_s
