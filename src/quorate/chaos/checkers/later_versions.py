"""By which version something surely happened whose answer names none: that of what began afterwards.

A vote had counted by the version of a linearizable read that began when it was answered. What a read shows without a
version is older than each write that began when the read had ended.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from quorate.chaos.checkers.evidence import NEVER, Evidence

READS = "SELECT begun, version FROM reading WHERE strict ORDER BY begun DESC"
WRITES = "SELECT begun, version FROM casting WHERE decided ORDER BY begun DESC"


class LaterVersions:
    """The lowest version of all READS, or WRITES, that began afterwards. 16 bytes for each, once it is asked."""

    def __init__(self, evidence: Evidence, query: str = READS) -> None:
        self._evidence, self._query = evidence, query
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
        for at, version in self._evidence.select(self._query):
            lowest = min(lowest, version)
            begun.append(at)
            self._lowest.append(lowest)
        begun.reverse()
        self._lowest.reverse()
        return begun
