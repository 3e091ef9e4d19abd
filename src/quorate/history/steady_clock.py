"""The wall clock without its jumps, for a record of what happened when.

Clocks are set, by people and by programs, and some are set wrongly and back again a moment later. So a jump is believed
only when it has lasted; until then time goes on at the pace of a clock that nobody sets. Small differences are taken
over at once, but time never goes back by them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from quorate.cluster.read.staleness import elapsed_s

SLACK_S = 2.0  # a difference that is no jump
LASTS_S = 10.0  # after which a jump is believed


class SteadyClock:
    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._wall, self._elapsed = wall, elapsed
        self._shown_s = wall()
        self._shown_at_s = elapsed()
        self._jumped_at_s: float | None = None

    def __call__(self) -> float:
        """Unix time, in seconds. It goes back only when the clock was set back, and stayed so."""
        wall_s, now_s = self._wall(), self._elapsed()
        own_s = self._shown_s + now_s - self._shown_at_s
        if abs(wall_s - own_s) <= SLACK_S:
            self._jumped_at_s = None
            shown_s = max(wall_s, self._shown_s)
        else:
            self._jumped_at_s = now_s if self._jumped_at_s is None else self._jumped_at_s
            shown_s = wall_s if now_s - self._jumped_at_s >= LASTS_S else own_s
        self._shown_s, self._shown_at_s = shown_s, now_s
        return shown_s
