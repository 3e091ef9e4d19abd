"""A session's sequences count without a gap, each once, in order, and no older epoch counts after a newer one opened.

Whether a batch without an answer counted, the next opening of its session tells: it names the last sequence that did.
The version at which a session was opened is in no answer (see `real_time.py`). It lies above all that was told before
the opening began, and below all that was decided of requests that began after it had ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from quorate.chaos.checkers.evidence import NEVER, Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.loading import OK

BATCHES = "SELECT DISTINCT producer, sequence, epoch, lowest, highest, sure, place FROM batch ORDER BY 1, 2, 4, 7"
OPENINGS = f"""
SELECT opening.place, epoch, sequence, told + 1, coalesce(highest, {NEVER}) FROM opening
JOIN floor ON floor.place = opening.place LEFT JOIN ceiling ON ceiling.place = opening.place
WHERE producer = ? AND outcome = {OK} AND epoch > 0 ORDER BY epoch, opening.place
"""


class CountedBatch(NamedTuple):
    producer: str
    sequence: int
    epoch: int
    lowest: int
    highest: int
    is_sure: int
    place: int


class Opened(NamedTuple):
    place: int
    epoch: int
    sequence: int  # the last one that had counted
    lowest: int
    highest: int


TOLD = f"""
SELECT producer, epoch, sequence, begun, ended, place FROM opening WHERE outcome = {OK} AND epoch > 0
ORDER BY producer, epoch, place
"""


class ToldAtOpening(NamedTuple):
    producer: str
    epoch: int
    sequence: int
    begun: float
    ended: float
    place: int


def check_sessions(evidence: Evidence, findings: Findings) -> None:
    _check_epochs(evidence, findings)
    for producer, rows in groupby(evidence.select(BATCHES), key=itemgetter(0)):
        opened = [Opened(*row) for row in evidence.select(OPENINGS, producer)]
        findings.count("sessions", "sessions opened", len(opened))
        one = _OneProducer(producer, opened, findings)
        one.check(CountedBatch(*row) for row in rows)
        for batches in one.open:
            _settle(evidence, findings, batches, opened)


def _check_epochs(evidence: Evidence, findings: Findings) -> None:
    """Each opening has an epoch of its own, greater than that of all before it, and forgets no sequence."""
    for producer, rows in groupby(evidence.select(TOLD), key=itemgetter(0)):
        lower: ToldAtOpening | None = None
        latest: ToldAtOpening | None = None  # of those with lower epochs, the one that began last
        for row in rows:
            told = ToldAtOpening(*row)
            for before, is_wrong, how in (
                (lower, lower is not None and lower.epoch == told.epoch, f"epoch {told.epoch} twice"),
                (lower, lower is not None and lower.sequence > told.sequence, "a lower sequence with a greater epoch"),
                (latest, latest is not None and told.ended < latest.begun, "a lower epoch at a later opening"),
            ):
                if before is not None and is_wrong:
                    findings.violate("sessions", f"the producer {producer} was told {how}", [before.place, told.place])
            lower = told
            if latest is None or told.begun > latest.begun:
                latest = told


def _settle(evidence: Evidence, findings: Findings, batches: list[CountedBatch], opened: list[Opened]) -> None:
    """Batches of one sequence without an answer. Those of an epoch can have counted only until the next one opened."""
    may_have = []
    for batch in batches:
        later = next((each for each in opened if each.epoch > batch.epoch), None)
        if later is not None and later.sequence < batch.sequence:
            evidence.never_counted(batch.place)
        else:
            may_have.append((batch, later))
    for batch, later in may_have:
        if later is None:
            findings.leave_open(batch.place)
        elif len(may_have) == 1:
            evidence.surely_counted(batch.place, later.highest)


class _OneProducer:
    def __init__(self, producer: str, opened: list[Opened], findings: Findings) -> None:
        self._producer = producer
        self._opened = opened
        self._findings = findings
        self._begins_at = opened[0].sequence if opened else 0
        self._last: CountedBatch | None = None  # the last that surely counted
        self._reached = self._begins_at  # the last sequence that can have counted
        self._floor: CountedBatch | None = None  # of those so far, one that cannot have counted below the others

        self.open: list[list[CountedBatch]] = []  # of each sequence of which no answer tells whether it counted

    def check(self, batches: Iterable[CountedBatch]) -> None:
        for sequence, same in groupby(batches, key=lambda batch: batch.sequence):
            self._sequence(sequence, list(same))
        self._after_the_last()

    def _sequence(self, sequence: int, batches: list[CountedBatch]) -> None:
        sure = [batch for batch in batches if batch.is_sure]
        self._findings.count("sessions", "batches", len(sure))
        if not sure:
            self.open.append(batches)
        if len(sure) > 1:
            self._violate(f"counted sequence {sequence} more than once", sure)
        if sure:
            self._in_order(sequence, sure[0])
        if sequence == self._reached + 1:
            self._reached = sequence
        if self._floor is None or batches[0].lowest > self._floor.lowest:
            self._floor = batches[0]
        for batch in sure:
            self._in_epoch(batch)
        for opened in self._opened:
            self._as_told(sequence, opened, batches, sure)

    def _in_order(self, sequence: int, batch: CountedBatch) -> None:
        if sequence > self._reached + 1:
            before = [] if self._last is None else [self._last]
            self._violate(
                f"counted sequence {sequence}, but {self._reached + 1} can never have counted", [*before, batch]
            )
            self._reached = sequence
        floor = self._floor
        if floor is not None and floor.lowest > batch.highest:
            self._violate(
                f"counted sequence {sequence} at version {batch.highest}, before {floor.sequence} at {floor.lowest}",
                [floor, batch],
            )
        self._last = batch

    def _in_epoch(self, batch: CountedBatch) -> None:
        for opened in self._opened:
            if opened.epoch > batch.epoch and batch.lowest > opened.highest:
                words = f"counted sequence {batch.sequence} of epoch {batch.epoch} at version {batch.lowest}, "
                self._violate(f"{words}after epoch {opened.epoch} was opened", [opened, batch])
                return
            if opened.epoch == batch.epoch and batch.highest < opened.lowest:
                words = f"counted sequence {batch.sequence} of epoch {batch.epoch} at version {batch.highest}, "
                self._violate(f"{words}before that epoch was opened", [opened, batch])
                return

    def _as_told(self, sequence: int, opened: Opened, batches: list[CountedBatch], sure: list[CountedBatch]) -> None:
        """The answer to an opening names the last sequence that had counted."""
        if sequence > opened.sequence and sure and sure[0].highest < opened.lowest:
            words = f"counted sequence {sequence} at version {sure[0].highest}, but a later opening says that "
            self._violate(f"{words}{opened.sequence} was the last", [sure[0], opened])
        if sequence == opened.sequence and all(batch.lowest > opened.highest for batch in batches):
            words = f"was told at an opening that sequence {sequence} had counted, which counted at version "
            self._violate(f"{words}{batches[0].lowest} or above", [opened, *batches])

    def _after_the_last(self) -> None:
        for opened in self._opened:
            if opened.sequence > self._reached:
                words = f"was told at an opening that sequence {opened.sequence} had counted, which was never sent"
                self._violate(words, [opened])

    def _violate(self, words: str, lines: Sequence[CountedBatch | Opened]) -> None:
        self._findings.violate("sessions", f"the producer {self._producer} {words}", [line.place for line in lines])
