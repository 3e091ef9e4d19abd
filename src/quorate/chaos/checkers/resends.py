"""A request that was acknowledged and is sent again within the dedup window changes nothing.

Beyond the window it is another vote. So the question is whether an id may have left the window between two versions.

An id is protected for at least the next N accepted ids. How many were accepted between two versions is known but for
votes whose version is not. So the most that can have been accepted is taken: only if even that is less than N, an id
that counted again is a violation.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate

from quorate.chaos.checkers.evidence import NEVER, Evidence
from quorate.chaos.checkers.findings import Findings

ACCEPTED = "SELECT {0}, sum(ids) FROM vote GROUP BY {0} ORDER BY {0}"


class IdWindow:
    """How many ids may have been accepted between two versions. Takes 32 bytes for each version that has votes."""

    def __init__(self, evidence: Evidence) -> None:
        self._size = evidence.window
        self._from, self._begun = _sums(evidence, "lowest")  # votes that may have counted from that version on
        self._to, self._over = _sums(evidence, "highest")  # votes that counted at that version or below, if at all

    def may_leave(self, lowest: int, version: int) -> bool:
        """Whether an id that was accepted at `lowest` or above may be forgotten at `version`."""
        return self._over_before(lowest) + self._size <= _at(self._from, self._begun, version)

    def leaves_at(self, lowest: int) -> int:
        """The first version at which it may be forgotten."""
        at = bisect_left(self._begun, self._over_before(lowest) + self._size)
        return self._from[at] if at < len(self._from) else NEVER

    def _over_before(self, version: int) -> int:
        return _at(self._to, self._over, version - 1)


def _sums(evidence: Evidence, column: str) -> tuple[array[int], array[int]]:
    versions, counts = array("q"), array("q")
    for version, count in evidence.select(ACCEPTED.format(column)):
        versions.append(version)
        counts.append(count)
    return versions, array("q", accumulate(counts))


def _at(versions: array[int], sums: array[int], version: int) -> int:
    at = bisect_right(versions, version)
    return sums[at - 1] if at else 0


def judge_by_window(evidence: Evidence, findings: Findings) -> None:
    """Judge what was applied twice, and note which attempts without an answer may have counted once more."""
    again, late = _rows(evidence, "again"), _rows(evidence, "late")
    if not again and not late:
        return
    window = IdWindow(evidence)
    for lowest, version, first, second in evidence.select("SELECT * FROM again"):
        if window.may_leave(lowest, version):
            findings.count("resends", "counted again beyond the dedup window")
            findings.reach("resend-beyond-the-dedup-window", second)
        else:
            counted_twice(findings, lowest, first, version, second)
    for pick, counted, lowest, votes, place in evidence.select("SELECT * FROM late"):
        leaves_at = window.leaves_at(counted)
        if leaves_at < NEVER:
            evidence.add("vote", pick, max(lowest, leaves_at), NEVER, votes, False, 0, place)
    evidence.flush()


def _rows(evidence: Evidence, table: str) -> int:
    return int(next(iter(evidence.select(f"SELECT count(*) FROM {table}")))[0])


def counted_twice(
    findings: Findings, first_version: int | None, first: int, second_version: int | None, second: int
) -> None:
    words = f"a request was applied at version {first_version}, and sent again it was applied at {second_version} too"
    findings.violate("resends", words, [first, second])
