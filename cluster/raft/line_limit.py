"""Bounds on log lines about one thing: changes, some at once and then one in a while; and troubles that last."""

from __future__ import annotations

from quorate.words import count

LINES = 8  # at once
EVERY_S = 10.0  # then one more


class LineLimit:
    """Times are those of any clock that only goes forward, in seconds."""

    def __init__(self, lines: int = LINES, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._lines_max = self._lines = float(lines)
        self._at_s = float("-inf")
        self._held_back = 0

    def allow(self, now_s: float) -> str | None:
        """None: the line must not be written. Otherwise what to write after it: how many were held back before it."""
        self._lines = min(self._lines_max, self._lines + (now_s - self._at_s) / self._every_s)
        self._at_s = now_s
        if self._lines < 1:
            self._held_back += 1
            return None
        self._lines -= 1
        held_back, self._held_back = self._held_back, 0
        return f" (not logged before this: {count(held_back, 'change')})" if held_back else ""


class Reminders:
    """A trouble that lasts is told at once, and again after pauses that double. Another one is told after `first_s`."""

    def __init__(self, first_s: float = 15.0, longest_s: float = 1_800.0, things_max: int = 256) -> None:
        self._first_s, self._longest_s, self._things_max = first_s, longest_s, things_max
        self._told: dict[str, tuple[str, float, float]] = {}  # thing -> what was told of it, when, and the pause

    def allow(self, thing: str, what: str, now_s: float) -> bool:
        before, at_s, pause_s = self._told.get(thing, ("", float("-inf"), self._first_s))
        lasts = what == before
        if now_s - at_s < (pause_s if lasts else self._first_s):
            return False
        if len(self._told) >= self._things_max and thing not in self._told:
            self._told.clear()
        self._told[thing] = what, now_s, min(2 * pause_s, self._longest_s) if lasts else self._first_s
        return True

    def over(self, thing: str) -> None:
        self._told.pop(thing, None)
