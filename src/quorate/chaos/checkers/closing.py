"""After the version at which a poll closed no vote counts, and before it none is refused as closed, or as for no poll.

The entry of the change itself may hold votes of both kinds. When a poll was open is taken from `lives.py`. A closing
time is judged by the cluster's own time, which stands in its entries and of which the history knows nothing: so what is
judged is that there is one version at which the poll closed. Votes that name no poll count if any open poll lists their
option: they are judged by all of these polls together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from quorate.chaos.checkers.evidence import NEVER, Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.lives import CLOSED, OPEN, Life, PossibleChange, Span

COUNTED = """
SELECT lowest, place FROM vote WHERE pick = ? AND lowest = highest AND sure AND lowest BETWEEN ? AND ? LIMIT ?
"""
REFUSED = """
SELECT version, place, reason FROM refusal WHERE pick = ? AND version BETWEEN ? AND ? ORDER BY version LIMIT ?
"""
REFUSED_AS_CLOSED = """
SELECT version, place FROM refusal WHERE pick = ? AND reason = 'closed' ORDER BY version LIMIT 1
"""
COUNTS = {
    "changes of polls": "SELECT count(*) FROM changing",
    "votes refused as closed": "SELECT count(*) FROM refusal WHERE reason = 'closed'",
}
AT_ONCE = 5  # violations of one choice and span


def check_closing(evidence: Evidence, findings: Findings, lives: dict[str, Life]) -> None:
    _count(evidence, findings)
    for name, life in lives.items():
        for each in life.contradictions:
            states = [("not open", "open")[seen.is_open] for seen in (each.before, each.after)]
            words = f"{name} was {states[0]} at version {each.before.version} and {states[1]} at {each.after.version}, "
            findings.violate("closing", words + "and nobody asked for that", [each.before.place, each.after.place])
    of_option: defaultdict[str, list[Life]] = defaultdict(list)
    for (poll, option), pick in list(evidence.picks.items()):
        if poll is not None:
            if lists_shared(evidence, poll, option):
                of_option[option].append(lives[poll])
            _choice(evidence, findings, pick, [lives[poll]])
            _one_closing(evidence, findings, pick, lives[poll])
    for option, some in of_option.items():
        if (None, option) in evidence.picks:
            _choice(evidence, findings, evidence.picks[(None, option)], some)


def lists_shared(evidence: Evidence, poll: str, option: str) -> bool:
    """Whether votes for that option count in the poll although they do not name it."""
    plan = evidence.polls.get(poll)
    return plan is None or (not plan.write_ins and option in plan.options)


def _count(evidence: Evidence, findings: Findings) -> None:
    for rows, what in (
        ("changing", "changes of polls"),
        ("refusal WHERE reason = 'closed'", "votes refused as closed"),
    ):
        findings.count("closing", what, next(iter(evidence.select(f"SELECT count(*) FROM {rows}")))[0])


def _choice(evidence: Evidence, findings: Findings, pick: int, lives: Sequence[Life]) -> None:
    _, option = evidence.choices[pick]
    for span in together(lives):
        if span.state == CLOSED:
            for version, place in evidence.select(COUNTED, pick, span.first, span.last, AT_ONCE):
                words = f"a vote for {option!r} counted at version {version}, where no poll that it is for was open"
                findings.violate("closing", words, [place, *_changes_near(lives, version)])
        elif span.state == OPEN:
            for version, place, reason in evidence.select(REFUSED, pick, span.first, span.last, AT_ONCE):
                as_what = reason.replace("_", " ")
                words = f"a vote for {option!r} was refused as {as_what} at version {version}, where its poll was open"
                findings.violate("closing", words, [place, *_changes_near(lives, version)])


def together(lives: Sequence[Life]) -> Iterable[Span]:
    """When any of these polls was open: surely if one surely was, surely not if none can have been."""
    edges = sorted({span.first for life in lives for span in life.spans})
    for first, following in zip(edges, [*edges[1:], NEVER + 1], strict=True):
        states = {life.state_at(first) for life in lives}
        if OPEN in states:
            yield Span(first, following - 1, OPEN)
        elif states == {CLOSED}:
            yield Span(first, following - 1, CLOSED)


def _changes_near(lives: Sequence[Life], version: int) -> list[int]:
    """The lines of the last changes that say what the polls were at that version."""
    changes = [change for life in lives for change in (*life.openers, *life.closers) if change.lowest <= version]
    return [change.place for change in sorted(changes, key=_lowest)[-2:]]


def _lowest(change: PossibleChange) -> int:
    return change.lowest


def _one_closing(evidence: Evidence, findings: Findings, pick: int, life: Life) -> None:
    """A poll that nobody opened again: what counts after a vote was refused as closed."""
    poll, option = evidence.choices[pick]
    first = next(iter(evidence.select(REFUSED_AS_CLOSED, pick)), None)
    if first is None or any(opener.highest >= first[0] for opener in life.openers):
        return
    for version, place in evidence.select(COUNTED, pick, first[0] + 1, NEVER, AT_ONCE):
        words = f"a vote for {option!r} in {poll} counted at version {version}, after one was refused as closed at "
        findings.violate("closing", f"{words}version {first[0]}, and nobody opened the poll again", [first[1], place])
