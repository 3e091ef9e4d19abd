"""A bucket of votes, for a rate: it fills steadily, and each request takes its votes out.

A request is let in when there is a vote in the bucket. It may then take out more than there is, and the next one waits
until that is made up. So no request is too big for a rate, and no more than one is beyond the bucket's size.
"""

from __future__ import annotations

import time
from collections.abc import Callable

BURST_MIN = 10.0  # of a bucket whose size nobody says: what a page asks at its start


class Bucket:
    """`rate`: votes a second. `burst`: the most that it holds; 0: what one second brings, and ten at least."""

    __slots__ = ("_at_s", "_clock", "_level", "_most", "burst", "rate")

    def __init__(self, rate: float, burst: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst  # as it was given
        self._most = burst or max(rate, BURST_MIN)
        self._clock = clock
        self._level = self._most
        self._at_s = clock()

    def enter(self) -> float:
        """Let a request in, which counts as one vote. Returns 0, or in how many seconds one will be let in."""
        self._fill()
        if self._level < 1:
            return (1 - self._level) / self.rate
        self._level -= 1
        return 0.0

    def take(self, more: int) -> float:
        """Take further votes of a request that was let in. Returns 0, or the seconds until there is something again, if
        another request has overdrawn the bucket since."""
        self._fill()
        if self._level < 0:
            return (1 - self._level) / self.rate
        self._level -= more
        return 0.0

    def _fill(self) -> None:
        now_s = self._clock()
        self._level = min(self._most, self._level + (now_s - self._at_s) * self.rate)
        self._at_s = now_s
