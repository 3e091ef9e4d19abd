"""The verdict on a history: what all checkers and the reached list say together.

"Violated" comes with operations that contradict a property. "Inconclusive" means that nothing is violated, but the
history does not show enough for "clean": it has no end, an outcome stayed open, something that was asked for was not
reached, or there was nothing to check.
"""

from __future__ import annotations

import errno
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, Literal

import msgspec

from quorate.chaos import history, reached
from quorate.chaos.checkers.agreement import check_agreement
from quorate.chaos.checkers.closing import check_closing
from quorate.chaos.checkers.counted_once import Requests
from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.lives import life_of
from quorate.chaos.checkers.loading import Loader
from quorate.chaos.checkers.reads import check_tallies
from quorate.chaos.checkers.reads_without_version import check_reads_without_version
from quorate.chaos.checkers.real_time import check_real_time
from quorate.chaos.checkers.resends import IdWindow
from quorate.chaos.checkers.sessions import check_sessions
from quorate.chaos.checkers.shared_ids import check_shared_ids
from quorate.chaos.checkers.sinks import check_sinks
from quorate.chaos.checkers.situations import find_situations
from quorate.words import count

Word = Literal["clean", "violated", "inconclusive"]


class ShownViolation(msgspec.Struct):
    property: str
    words: str
    operations: list[msgspec.Raw]  # lines of the history


class ReachedOnce(msgspec.Struct):
    times: int
    words: str
    operation: msgspec.Raw | None = None  # the first that shows it


class Verdict(msgspec.Struct):
    verdict: Word
    reasons: list[str]  # why it is inconclusive, or would be if nothing were violated
    violations: list[ShownViolation]
    found: dict[str, int]  # by property: all violations, also those that are not shown
    checked: dict[str, dict[str, int]]  # by property: how much was checked
    reached: dict[str, ReachedOnce]
    missed: list[str]
    operations: int
    unknown: int  # operations without an answer that says what happened
    clients: int
    nodes: int
    faults: int
    seconds: float  # from the run's beginning to its last operation


def judge(path: Path, *, scratch: Path | None = None) -> Verdict:
    """Check a history. Its temporary database is made in `scratch`, and takes about the history's size.

    Raises `Invalid` if the file is no history, and `OSError` if it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="quorate-check-", dir=scratch) as folder:
        evidence, findings = Evidence(Path(folder)), Findings()
        try:
            _check(path, evidence, findings)
            return _verdict(path, evidence, findings)
        except sqlite3.OperationalError as error:
            words = f"the temporary database, which takes as much room as the history: {error}"
            raise OSError(errno.EIO, words, folder) from None
        finally:
            evidence.close()


def _check(path: Path, evidence: Evidence, findings: Findings) -> None:
    Loader(evidence, findings).load(path)
    check_real_time(evidence, findings)
    window = IdWindow(evidence)
    Requests(evidence, findings, window).judge()
    check_shared_ids(path, evidence, findings, window)
    check_sessions(evidence, findings)  # before the tallies: it tells of some batches whether they counted
    polls = dict.fromkeys(poll for poll, _ in evidence.choices if poll is not None)
    lives = {poll: life_of(evidence, poll) for poll in polls}
    check_tallies(evidence, findings, lives)
    check_reads_without_version(evidence, findings, lives)
    check_closing(evidence, findings, lives)
    check_agreement(evidence, findings)
    check_sinks(evidence, findings)
    find_situations(evidence, findings, lives)


def _verdict(path: Path, evidence: Evidence, findings: Findings) -> Verdict:
    header = evidence.header
    missed = reached.missed(header.asked_to_reach if header else [], findings.situations)
    reasons = [*_not_whole(evidence, findings), *(f"it was asked to reach {name}, and did not" for name in missed)]
    word: Word = "violated" if findings.violations else "inconclusive" if reasons else "clean"
    return Verdict(
        verdict=word,
        reasons=reasons,
        violations=[
            ShownViolation(each.rule, each.words, [_line(path, place) for place in each.places])
            for each in findings.violations
        ],
        found=dict(findings.found),
        checked={name: dict(counts) for name, counts in findings.checked.items()},
        reached={
            name: ReachedOnce(each.times, reached.DERIVED.get(name, ""), _line(path, each.place))
            for name, each in sorted(findings.situations.items())
        },
        missed=missed,
        operations=evidence.operations,
        unknown=evidence.unknown,
        clients=len(evidence.clients),
        nodes=len(header.nodes) if header else 0,
        faults=evidence.faults,
        seconds=evidence.last_s,
    )


def _line(path: Path, place: int) -> msgspec.Raw:
    return msgspec.Raw(history.line_at(path, place))


def _not_whole(evidence: Evidence, findings: Findings) -> list[str]:
    reasons, checked = [], findings.checked
    if evidence.end is None:
        reasons.append("the history has no end: the run was cut off, or its last lines are missing")
    elif (counted := evidence.end.operations) != evidence.operations:
        there = count(evidence.operations, "operation")
        reasons.append(f"lines are missing, or there are too many: the end tells of {counted:,}, and here are {there}")
    elif not evidence.end.settled:
        reasons.append(f"the run could not settle everything at its end: {evidence.end.words or 'it does not say why'}")
    if findings.open_requests:
        open_requests = count(findings.open_requests, "request")
        reasons.append(f"the outcome of {open_requests} stayed open: no answer says whether it counted")
    if not checked["counted_once"]["acknowledged votes"]:
        reasons.append("nothing was checked: no vote was acknowledged")
    elif not checked["reads"]["totals compared"]:
        reasons.append("nothing was checked: no tally was read")
    elif evidence.end is not None and not checked["counted_once"]["final reads"]:
        reasons.append("no tally was read in the end, when all was mended")
    elif unread := [poll for poll in evidence.polls_voted_in() if poll not in evidence.read_last]:
        names = ", ".join(unread[:3])
        reasons.append(f"{count(len(unread), 'poll')} with counted votes had no tally read in the end: {names}")
    return reasons


def as_builtins(verdict: Verdict) -> Any:
    """For `--json`."""
    return msgspec.json.decode(msgspec.json.encode(verdict))
