"""All that anybody saw of an option, against all that may have counted for it: one sweep over versions an option.

What was seen are reads of every level and documents of sinks. At version V each must show the votes that surely counted
at or below V, none that counted above, and of the others a number that all of them together allow (`placing.py`). A
vote that names no poll counts in each poll that is open and lists its option, so it is judged in each of these by
itself: that is weaker than the truth where such a vote has no answer, and it never accuses a right history.

A misfit belongs to `sinks` if a sink showed it, to `counted_once` if it was the final read, and to `reads` otherwise.
Two that show different totals at one version belong to `agreement`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.lives import Life
from quorate.chaos.checkers.loading import SETTLES, SINK
from quorate.chaos.checkers.placing import Placement, Unplaced

MISFITS_MAX = 3  # of one option: a lost vote is missing in all that follows
ACKS_SHOWN = 3
VOTES = "SELECT lowest, highest, votes, sure, place FROM vote WHERE pick = ? ORDER BY lowest"
READINGS = """
SELECT reading.version, coalesce(total, 0), reading.place, source, mark FROM reading
LEFT JOIN seen ON pick = ? AND seen.version = reading.version AND seen.place = reading.place
WHERE poll = ? ORDER BY reading.version, reading.place
"""
SHARED = -1  # there is no such pick


class Reading(NamedTuple):
    version: int
    total: int
    place: int
    source: int
    mark: str

    @property
    def rule(self) -> str:
        if self.source == SINK:
            return "sinks"
        return "counted_once" if self.mark == SETTLES else "reads"

    @property
    def name(self) -> str:
        return "the sink's document" if self.source == SINK else "a read"


def check_tallies(evidence: Evidence, findings: Findings, lives: dict[str, Life]) -> None:
    for pick, (poll, option) in enumerate(list(evidence.choices)):
        if poll is not None:
            _OptionSweep(evidence, findings, lives[poll], pick, poll, option).run()


def votes_for(evidence: Evidence, life: Life, pick: int) -> Iterator[Unplaced]:
    """All that may have counted for an option of a poll, by its lowest version."""
    poll, option = evidence.choices[pick]
    direct = (Unplaced(*row) for row in evidence.select(VOTES, pick))
    plan = evidence.polls.get(poll or "")
    shared = evidence.picks.get((None, option), SHARED)
    if shared == SHARED or (plan is not None and (plan.write_ins or option not in plan.options)):
        return direct
    return heapq.merge(direct, _shared(evidence, life, shared), key=lambda vote: vote.lowest)


def _shared(evidence: Evidence, life: Life, pick: int) -> Iterator[Unplaced]:
    """Votes that name no poll, as far as this poll may have been open."""
    moved: list[tuple[int, int, Unplaced]] = []  # those that can count only later than others that come after them
    for order, row in enumerate(evidence.select(VOTES, pick)):
        vote = Unplaced(*row)
        while moved and moved[0][0] <= vote.lowest:
            yield heapq.heappop(moved)[2]
        inside = life.perhaps_open(vote.lowest, vote.highest)
        if inside is None:
            continue
        lowest, highest, is_sure = inside
        part = Unplaced(lowest, highest, vote.votes, vote.is_sure and is_sure, vote.place)
        if lowest == vote.lowest:
            yield part
        else:
            heapq.heappush(moved, (lowest, order, part))
    while moved:
        yield heapq.heappop(moved)[2]


class _OptionSweep:
    def __init__(self, evidence: Evidence, findings: Findings, life: Life, pick: int, poll: str, option: str) -> None:
        self._evidence = evidence
        self._findings = findings
        self._life = life
        self._pick = pick
        self._poll = poll
        self._option = option
        self._weight = evidence.weight_of(poll, option)
        self._placement = Placement()
        self._known = 0  # votes that surely counted at a version up to here
        self._shown = 0  # votes that the last read showed
        self._known_shown = 0  # `_known` at the last read
        self._last: Reading | None = None
        self._acks: list[int] = []  # lines of some votes that are known since the last read
        self._misfits = 0

    def run(self) -> None:
        votes = votes_for(self._evidence, self._life, self._pick)
        vote = next(votes, None)
        for row in self._evidence.select(READINGS, self._pick, self._poll):
            reading = Reading(*row)
            while vote is not None and vote.lowest <= reading.version:
                self._take(vote)
                vote = next(votes, None)
            self._findings.count(("reads", "sinks")[reading.source], "totals compared")
            self._judge(reading)
            if self._misfits >= MISFITS_MAX:
                return

    def _take(self, vote: Unplaced) -> None:
        if vote.is_sure and vote.lowest == vote.highest:
            self._known += vote.votes
            if len(self._acks) < ACKS_SHOWN:
                self._acks.append(vote.place)
        else:
            self._placement.offer(vote)

    # ---- what was seen ----------------------------------------------------------------------------------------------

    def _judge(self, reading: Reading) -> None:
        if reading.total % self._weight:
            words = f"shows {reading.total}, but each vote for it weighs {self._weight}"
            self._violate(reading, "counted_once", words, [])
            return
        if self._last is not None and reading.version == self._last.version:
            if reading.total != self._last.total:
                words = f"shows {reading.total} where another one shows {self._last.total}"
                self._violate(reading, "agreement", words, [self._last.place])
            return
        shown = reading.total // self._weight
        new = shown - self._shown - (self._known - self._known_shown)
        if new < 0:
            acked = f"{self._known - self._known_shown} acknowledged votes since {self._since()} are counted by then"
            words = f"shows {reading.total}, {-new * self._weight} too few: {acked}"
            self._violate(reading, reading.rule, words, [*self._before(), *self._acks])
            return
        misfit = self._placement.step(reading.version, new)
        if misfit is not None and misfit.missing:
            words = f"shows {reading.total}, at least {misfit.missing * self._weight} too few: votes without an answer "
            words += "were called duplicates at or below that version, so they are counted by then"
            self._violate(reading, reading.rule, words, [*self._before(), *misfit.places])
        elif misfit is not None:
            words = f"shows {reading.total}, {misfit.surplus * self._weight} too many: nothing that was sent can have "
            words += f"counted so often between {self._since()} and then"
            self._violate(reading, reading.rule, words, self._before())
        else:
            self._shown, self._known_shown, self._last = shown, self._known, reading
            self._acks = []

    def _since(self) -> str:
        if self._last is None:
            return "the beginning"
        return f"version {self._last.version} (where {self._last.total} were shown)"

    def _before(self) -> list[int]:
        return [] if self._last is None else [self._last.place]

    def _violate(self, reading: Reading, rule: str, words: str, places: list[int]) -> None:
        self._misfits += 1
        subject = f"{reading.name} of {self._poll} at version {reading.version}, option {self._option!r},"
        self._findings.violate(rule, f"{subject} {words}", [reading.place, *places])
