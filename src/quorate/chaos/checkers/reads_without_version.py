"""Reads that name no version, as those of Redis clients: a linearizable one misses no vote that was confirmed before.

Such a read shows the state at some version. Of a linearizable read that is at least the greatest version that anybody
had been told before it began. Of each it is less than the version of every write that began after the read had ended.
So each option shows at least the votes that surely counted by the first, and at most all that can have counted below
the second. Options are judged one by one, which is weaker than one version for all.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import accumulate

from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.later_versions import WRITES, LaterVersions
from quorate.chaos.checkers.lives import Life
from quorate.chaos.checkers.reads import votes_for

READS = """
SELECT bare.place, ended, strict, told, coalesce(total, 0) FROM bare JOIN floor ON floor.place = bare.place
LEFT JOIN seen ON pick = ? AND seen.version IS NULL AND seen.place = bare.place WHERE poll = ? ORDER BY bare.place
"""
MISFITS_MAX = 3  # of one option


def check_reads_without_version(evidence: Evidence, findings: Findings, lives: dict[str, Life]) -> None:
    later = LaterVersions(evidence, WRITES)
    polls = {poll for (poll,) in evidence.select("SELECT DISTINCT poll FROM bare")}
    for pick, (poll, option) in enumerate(list(evidence.choices)):
        if poll is not None and poll in polls:
            _check_option(evidence, findings, later, _Sums(evidence, lives[poll], pick), pick, poll, option)


class _Sums:
    """Of an option: how many votes surely counted at or below a version, and how many can have."""

    def __init__(self, evidence: Evidence, life: Life, pick: int) -> None:
        begun, over = array("q"), list[tuple[int, int]]()
        votes = array("q")
        for vote in votes_for(evidence, life, pick):
            begun.append(vote.lowest)
            votes.append(vote.votes)
            if vote.is_sure:
                over.append((vote.highest, vote.votes))
        over.sort()
        self._begun, self._most = begun, array("q", accumulate(votes))
        self._over = array("q", [highest for highest, _ in over])
        self._least = array("q", accumulate(number for _, number in over))

    def least(self, version: int) -> int:
        at = bisect_right(self._over, version)
        return self._least[at - 1] if at else 0

    def most(self, version: int) -> int:
        at = bisect_right(self._begun, version)
        return self._most[at - 1] if at else 0


def _check_option(
    evidence: Evidence, findings: Findings, later: LaterVersions, sums: _Sums, pick: int, poll: str, option: str
) -> None:
    weight, misfits = evidence.weight_of(poll, option), 0
    for place, ended, strict, told, total in evidence.select(READS, pick, poll):
        findings.count("reads", "totals without a version compared")
        least = sums.least(told) * weight if strict else 0
        most = sums.most(later.lowest_after(ended) - 1) * weight
        if least <= total <= most and total % weight == 0:
            continue
        words = f"a read of {poll} without a version, option {option!r}, shows {total}"
        if total < least:
            words += f", and {least} had been acknowledged before it began"
        elif total > most:
            words += f", and no more than {most} can have counted before it ended"
        else:
            words += f", but each vote for it weighs {weight}"
        findings.violate("reads", words, [place])
        misfits += 1
        if misfits >= MISFITS_MAX:
            return
