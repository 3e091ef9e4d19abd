"""A bound on log lines about one thing: some at once, then one in a while. What was held back is counted."""

from __future__ import annotations

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
        return f" ({held_back} changes before this were not logged)" if held_back else ""
