"""By which version a vote surely counted whose answer names none: that of a linearizable read that began afterwards.

Quorate's answers have versions. Those of other systems may have none, and one that forgot it must not hide a vote.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from quorate.chaos.checkers.evidence import NEVER, Evidence

LINEARIZABLE = "SELECT begun, version FROM reading WHERE strict ORDER BY begun DESC"


class LaterReads:
    """16 bytes for each linearizable read, once it is asked."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._begun: array[float] | None = None
        self._lowest = array("q")  # of all that began then or later

    def lowest_after(self, ended: float | None) -> int:
        if ended is None:
            return NEVER
        if self._begun is None:
            self._begun = self._read()
        place = bisect_right(self._begun, ended)
        return self._lowest[place] if place < len(self._lowest) else NEVER

    def _read(self) -> array[float]:
        begun, lowest = array("d"), NEVER
        for at, version in self._evidence.select(LINEARIZABLE):
            lowest = min(lowest, version)
            begun.append(at)
            self._lowest.append(lowest)
        begun.reverse()
        self._lowest.reverse()
        return begun
