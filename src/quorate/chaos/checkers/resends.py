"""A request that was acknowledged and is sent again within the dedup window changes nothing.

Beyond the window it is another vote. So the question is whether an id may have left the window between two versions.

An id is protected for at least the next N accepted ids. How many were accepted between two versions is known but for
votes whose version is not. So the most that can have been accepted is taken: only if even that is less than N, an id
that counted again is a violation (`counted_once.py` asks here).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate

from quorate.chaos.checkers.evidence import NEVER, Evidence
from quorate.chaos.checkers.loading import OK, UNKNOWN

# Ids that may have been accepted, by the lowest version at which they can have been.
MOST = f"""
SELECT lowest, sum(ids) FROM (
    SELECT CASE WHEN outcome = {UNKNOWN} OR version IS NULL THEN told + 1 ELSE version END AS lowest, ids_most AS ids
    FROM casting JOIN floor ON floor.place = casting.place WHERE outcome IN ({OK}, {UNKNOWN}) AND ids_most > 0
) GROUP BY lowest ORDER BY lowest
"""
# Ids that surely were accepted, by version. Where the answers to a request do not tell new ids from known ones, its ids
# were accepted at the first of their versions or below.
LEAST = f"""
SELECT version, sum(ids) FROM (
    SELECT version, ids_least AS ids FROM casting WHERE outcome = {OK} AND version IS NOT NULL AND ids_least > 0
    UNION ALL
    SELECT min(version), min(ids_most) FROM casting WHERE outcome = {OK} AND version IS NOT NULL AND counted > 0
    GROUP BY request
) GROUP BY version ORDER BY version
"""


class IdWindow:
    """How many ids may have been accepted between two versions.

    If all ids of the history fit into the window, nothing is asked of the database. Otherwise it takes 32 bytes for
    each version that has votes.
    """

    def __init__(self, evidence: Evidence) -> None:
        evidence.flush()
        self.is_outrun = evidence.ids_sent >= evidence.window  # no id can have left the window otherwise
        self._size = evidence.window
        self._from, self._begun = _sums(evidence, MOST) if self.is_outrun else _nothing()
        self._to, self._over = _sums(evidence, LEAST) if self.is_outrun else _nothing()

    def may_leave(self, lowest: int, version: int) -> bool:
        """Whether an id that was accepted at `lowest` or above may be forgotten at `version`."""
        if not self.is_outrun:
            return False
        return self._over_before(lowest) + self._size <= _at(self._from, self._begun, version)

    def leaves_at(self, lowest: int) -> int:
        """The first version at which it may be forgotten."""
        if not self.is_outrun:
            return NEVER
        at = bisect_left(self._begun, self._over_before(lowest) + self._size)
        return self._from[at] if at < len(self._from) else NEVER

    def _over_before(self, version: int) -> int:
        return _at(self._to, self._over, version - 1)


Column = tuple["array[int]", "array[int]"]


def _nothing() -> Column:
    return array("q"), array("q")


def _sums(evidence: Evidence, query: str) -> Column:
    versions, counts = _nothing()
    for version, count in evidence.select(query):
        versions.append(version)
        counts.append(count)
    return versions, array("q", accumulate(counts))


def _at(versions: array[int], sums: array[int], version: int) -> int:
    at = bisect_right(versions, version)
    return sums[at - 1] if at else 0
