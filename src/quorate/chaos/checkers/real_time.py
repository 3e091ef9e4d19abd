"""What ended before another operation began has the lesser version, for writes and linearizable reads.

A version that anybody was told exists, so its entry is committed. What is proposed later stands behind it in the log:

- A request that the log decided (votes that were applied, duplicates, or refused by the state machine; a change of a
  poll) has a greater version than any that was told before the request began. Equal is not enough: an entry takes no
  further requests after it was told. Two requests of which neither ended before the other began may share an entry.
- A linearizable read has that version or a greater one.
- A version that does not exist yet is told by nobody: the next request would not be greater than it. So a violation
  shows the two, and which of them lies is for people.

The version that an answer to the opening of a session has is that of the node that was asked, which may be behind. It
exists, and says nothing else. The same is true where a node refused votes by itself.

One sweep over all begins and ends in the order of time makes the `floor` of each operation, the greatest version that
was told before it began. Every vote whose version is not known is counted above its floor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quorate.chaos.checkers.evidence import NEVER, Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.loading import OK

TOLD = """
SELECT ended, version, place FROM casting WHERE version IS NOT NULL AND ended IS NOT NULL UNION ALL
SELECT ended, version, place FROM reading WHERE ended IS NOT NULL UNION ALL
SELECT ended, version, place FROM changing WHERE version IS NOT NULL AND ended IS NOT NULL UNION ALL
SELECT ended, version, place FROM opening WHERE version IS NOT NULL AND ended IS NOT NULL UNION ALL
SELECT ended, version, place FROM digest WHERE ended IS NOT NULL ORDER BY 1
"""
# (begun, place, version, rule, source): rule 2 is for what the log decided, 1 for linearizable reads, 0 for the others.
BEGUN = f"""
SELECT begun, place, version, 2 * decided, 0 FROM casting UNION ALL
SELECT begun, place, version, strict, source FROM reading UNION ALL
SELECT begun, place, version, 2 * (outcome = {OK} AND version IS NOT NULL), 0 FROM changing UNION ALL
SELECT begun, place, version, 0, 0 FROM opening UNION ALL
SELECT begun, place, NULL, 0, 0 FROM bare ORDER BY 1, 2
"""
LATER_WRITES = 1_000  # that the upper bound of an opening's version is taken from


def check_real_time(evidence: Evidence, findings: Findings) -> None:
    told, teller = 0, 0
    ends: Iterator[Any] = iter(evidence.select(TOLD))
    next_end = next(ends, None)
    ceilings = _Ceilings(evidence)
    for begun, place, version, rule, source in evidence.select(BEGUN):
        while next_end is not None and next_end[0] < begun:
            if next_end[1] > told:
                _, told, teller = next_end
            next_end = next(ends, None)
        evidence.add("floor", place, told)
        if rule == 2:
            findings.count("real_time", "writes")
            ceilings.write(begun, version)
            if version <= told:
                _too_low(findings, "a request was decided at version", version, place, told, teller)
        elif rule == 1:
            findings.count("real_time", "linearizable reads")
            if version < told:
                _too_low(findings, "a linearizable read was answered at version", version, place, told, teller)
        elif version is not None and version < told:
            findings.reach("older-document-in-a-sink" if source else "read-of-an-older-version", place)
    ceilings.close()
    evidence.flush()


def _too_low(findings: Findings, what: str, version: int, place: int, told: int, teller: int) -> None:
    words = f"{what} {version}, although version {told} had been told before it began"
    findings.violate("real_time", words, [teller, place])


class _Ceilings:
    """The greatest version that the opening of a session can have: below all that is decided of later requests."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        rows = evidence.select("SELECT ended, place FROM opening WHERE ended IS NOT NULL ORDER BY ended")
        self._to_come = list(rows)[::-1]
        self._active: list[list[int]] = []  # [how many writes are left, place, ceiling]

    def write(self, begun: float, version: int) -> None:
        while self._to_come and self._to_come[-1][0] < begun:
            self._active.append([LATER_WRITES, self._to_come.pop()[1], NEVER])
        for each in self._active:
            each[0] -= 1
            each[2] = min(each[2], version - 1)
        while self._active and not self._active[0][0]:
            self._store(self._active.pop(0))

    def _store(self, row: list[int]) -> None:
        self._evidence.add("ceiling", row[1], row[2])

    def close(self) -> None:
        for row in self._active:
            self._store(row)
