"""Bounds on log lines about one thing: changes, some at once and then one in a while; and troubles that last."""

from __future__ import annotations

import logging

from quorate.words import count

LINES = 8  # at once
EVERY_S = 10.0  # then one more
OVER = ""  # what is told of a trouble that is over


class LineLimit:
    """Times are those of any clock that only goes forward, in seconds."""

    def __init__(self, lines: int = LINES, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._lines_max = self._lines = float(lines)
        self._at_s = float("-inf")
        self._held_back = 0

    def allow(self, now_s: float) -> str | None:
        """None: the line must not be written. Otherwise what to write after it: how many were held back before it."""
        if not self.has_room(now_s):
            self._held_back += 1
            return None
        held_back = self._take()
        return f" (not logged before this: {count(held_back, 'change')})" if held_back else ""

    def has_room(self, now_s: float) -> bool:
        self._lines = min(self._lines_max, self._lines + (now_s - self._at_s) / self._every_s)
        self._at_s = now_s
        return self._lines >= 1

    def allow_late(self, late_s: float) -> str:
        """Write the line that was held back last, for which there is room now. What to write after it."""
        before = self._take() - 1
        more = f"; not logged before this: {count(before, 'change')}" if before else ""
        return f" ({late_s:.1f} s ago{more})"

    def _take(self) -> int:
        self._lines -= 1
        held_back, self._held_back = self._held_back, 0
        return held_back


class ChangeLines:
    """The lines of one thing that changes. The last change is always told, late perhaps: a log must not end with a
    state that is over. Times as for `LineLimit`."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._limit = LineLimit()
        self._held: tuple[int, str, float] | None = None  # level, line and time of the last change, if it was not told

    def write(self, level: int, line: str, now_s: float) -> None:
        more = self._limit.allow(now_s)
        self._held = (level, line, now_s) if more is None else None
        if more is not None:
            self._log.log(level, "%s%s", line, more)

    def drop(self) -> None:
        """What was held back is nobody's concern any more."""
        self._held = None

    def check(self, now_s: float) -> None:
        """Call it now and then: it tells the last change as soon as there is room."""
        if self._held is not None and self._limit.has_room(now_s):
            level, line, at_s = self._held
            self._held = None
            self._log.log(level, "%s%s", line, self._limit.allow_late(now_s - at_s))


class Reminders:
    """A trouble that lasts is told at once, and again after pauses that double. Another one is told after `first_s`.

    One that was over and comes again is told at once, unless troubles come and go so often that `LineLimit` is reached.
    """

    def __init__(self, first_s: float = 15.0, longest_s: float = 1_800.0, things_max: int = 256) -> None:
        self._first_s, self._longest_s, self._things_max = first_s, longest_s, things_max
        self._returning = LineLimit()
        self._told: dict[str, tuple[str, float, float]] = {}  # thing -> what was told of it, when, and the pause

    def allow(self, thing: str, what: str, now_s: float) -> bool:
        before, at_s, pause_s = self._told.get(thing, ("nothing", float("-inf"), self._first_s))
        lasts = what == before
        if before == OVER:
            if self._returning.allow(now_s) is None:
                return False
        elif now_s - at_s < (pause_s if lasts else self._first_s):
            return False
        if len(self._told) >= self._things_max and thing not in self._told:
            self._told.clear()
        self._told[thing] = what, now_s, min(2 * pause_s, self._longest_s) if lasts else self._first_s
        return True

    def over(self, thing: str) -> None:
        if thing in self._told:
            self._told[thing] = OVER, self._told[thing][1], self._first_s
