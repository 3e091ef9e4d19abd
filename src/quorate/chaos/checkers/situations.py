"""Situations of the reached list that follow from operations, and that no checker meets on its way."""

from __future__ import annotations

from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.lives import Life
from quorate.chaos.checkers.loading import FAIL, OK, SESSION

REFUSED_EPOCHS = f"""
SELECT casting.place FROM casting WHERE way = {SESSION} AND outcome IN ({OK}, {FAIL}) AND applied = 0
AND duplicates = 0 AND EXISTS (SELECT 1 FROM opening WHERE opening.producer = casting.producer
AND opening.outcome = {OK} AND opening.epoch > casting.epoch AND opening.ended < casting.ended)
"""
FIRST_FENCES = """
SELECT sink, min(place) FROM (SELECT node AS sink, substr(mark, 1, 27) AS term, place FROM reading WHERE source = 1)
GROUP BY sink, term ORDER BY sink, term
"""


def find_situations(evidence: Evidence, findings: Findings, lives: dict[str, Life]) -> None:
    for (place,) in evidence.select(REFUSED_EPOCHS):
        findings.reach("old-epoch-refused", place)
    sinks = set()
    for sink, place in evidence.select(FIRST_FENCES):
        if sink in sinks:
            findings.reach("sink-written-by-another-leader", place)
        sinks.add(sink)
    for poll, life in lives.items():
        _turns_of(evidence, findings, poll, life)


def _turns_of(evidence: Evidence, findings: Findings, poll: str, life: Life) -> None:
    for opener in life.openers:
        if life.created is not None and opener.lowest > life.created.highest and opener.highest == opener.lowest:
            findings.reach("poll-opened-again", opener.place)
    if life.is_timed and all(closer.highest > closer.lowest for closer in life.closers):
        closed = evidence.select(
            "SELECT place FROM reading WHERE poll = ? AND state = 'closed' ORDER BY version LIMIT 1", poll
        )
        for (place,) in closed:
            findings.reach("poll-closed-by-its-time", place)
