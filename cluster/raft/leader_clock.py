"""What one node may believe of its own clock, where no majority of the members' clocks is known (`member_clocks.py`).

A wall clock can be wrong, and one wrong clock must not close every poll. So this node's wall clock is compared with the
time that should have passed by a monotonic clock. If it is more than 60 s ahead of the cluster's time, it is refused,
counted and logged, and the time goes on from the last one that was believed. Steps backwards are left to the state
machine, which never lets its time go back.

A leader whose clock is behind closes polls later by that much, and the log says so. The time of the leader before it
does not correct it: if that leader's clock was ahead, the cluster would stay ahead for ever and close polls too early.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

JUMP_MAX_MS = 60_000

log = logging.getLogger(__name__)


class LeaderClock:
    """Wall time checked against a monotonic clock. Both are arguments, so that a simulation can replace them."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._ahead_ms = int(wall() * 1000) - self._elapsed_ms()  # believed time minus the monotonic clock
        self._followed = False
        self.refused = 0
        self._behind = 0  # how often this clock was found behind

    def _elapsed_ms(self) -> int:
        return int(self._monotonic() * 1000)

    def observe(self, time_ms: int, *, live: bool) -> None:
        """Learn the cluster's time from a committed entry.

        A `live` entry has just been made by a leader: the first one replaces what our own wall clock says. Of any other
        entry only this is known: its time is not later than now.
        """
        ahead_ms = time_ms - self._elapsed_ms()
        if live and not self._followed:
            self._followed, self._ahead_ms = True, ahead_ms
        elif ahead_ms > self._ahead_ms:
            self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        expected_ms = self._elapsed_ms() + self._ahead_ms
        wall_ms = int(self._wall() * 1000)
        if wall_ms <= expected_ms + JUMP_MAX_MS:
            self._ahead_ms = max(self._ahead_ms, wall_ms - self._elapsed_ms())
            if wall_ms < expected_ms - JUMP_MAX_MS:
                self._complain_behind(expected_ms - wall_ms)
            return wall_ms
        self.refused += 1
        if _is_news(self.refused):
            log.error(
                "this node's clock is %.1f s ahead of the cluster's time: refused, going on with the cluster's. "
                "Set the clock (NTP), or polls with a closing time close late.",
                (wall_ms - expected_ms) / 1000,
            )
        return expected_ms

    def _complain_behind(self, ms: int) -> None:
        self._behind += 1
        if _is_news(self._behind):
            log.error(
                "this node's clock is %.1f s behind the cluster's time: while it leads, polls with a closing time "
                "close that much later. Set the clock (NTP), or let another node lead.",
                ms / 1000,
            )


def _is_news(times: int) -> bool:
    """Log only the 1st, 2nd, 4th, 8th … time: a wrong clock stays wrong for many entries."""
    return times & (times - 1) == 0
