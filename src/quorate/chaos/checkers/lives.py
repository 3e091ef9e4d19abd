"""When each poll was open, as far as changes and reads tell: for each version, surely, surely not, or perhaps.

Each acknowledged change of a poll, and each read of it, says the state at the end of an entry. Between two of these the
state can only have changed by a change that is known there, by one without an answer, or by a closing time. Where two
say different things and nothing can have changed it, that is a violation (`closing.py`). Where a change is possible at
more than one version, the poll is perhaps open between the first and the last of these. The entry of a change itself is
always "perhaps": it may hold votes from before and after the change.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from quorate.chaos.checkers.evidence import NEVER, Evidence
from quorate.chaos.checkers.loading import FAIL, OK

CLOSED, OPEN, PERHAPS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class StateSeen:
    """The state at the end of an entry."""

    version: int
    is_open: bool
    place: int
    is_read: bool = False  # otherwise a change says it


@dataclass(frozen=True, slots=True)
class PossibleChange:
    """It happened at a version from `lowest` to `highest`, or, if `highest` is NEVER, perhaps not at all."""

    lowest: int
    highest: int
    place: int


@dataclass(frozen=True, slots=True)
class Span:
    first: int
    last: int
    state: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two lines that say different states, with nothing that can have changed it between them."""

    before: StateSeen
    after: StateSeen


@dataclass(slots=True)
class Life:
    spans: list[Span] = field(default_factory=list)  # of all versions from 0 on, in their order
    contradictions: list[Contradiction] = field(default_factory=list)
    openers: list[PossibleChange] = field(default_factory=list)
    closers: list[PossibleChange] = field(default_factory=list)
    created: PossibleChange | None = None
    is_timed: bool = False  # it has a closing time

    def state_at(self, version: int) -> int:
        return next((span.state for span in self.spans if span.first <= version <= span.last), CLOSED)

    def perhaps_open(self, lowest: int, highest: int) -> tuple[int, int, bool] | None:
        """The versions of this interval at which the poll is perhaps open, and whether it surely is at all of them."""
        parts = [span for span in self.spans if span.first <= highest and lowest <= span.last]
        may = [span for span in parts if span.state != CLOSED]
        if not may:
            return None
        is_sure = all(span.state == OPEN for span in parts)
        return max(lowest, may[0].first), min(highest, may[-1].last), is_sure


def life_of(evidence: Evidence, poll: str) -> Life:
    life = Life()
    changes = _changes(evidence, poll, life)
    reads = evidence.select(
        "SELECT version, state, place FROM reading WHERE poll = ? AND source = 0 AND state <> '' ORDER BY version", poll
    )
    seen = heapq.merge(
        sorted(changes, key=_version),
        (StateSeen(row[0], row[1] == "open", row[2], True) for row in reads),
        key=_version,
    )
    _draw(life, list(_turns(seen)), starts_open=life.created is None)
    return life


def _version(seen: StateSeen) -> int:
    return seen.version


def _turns(seen: Iterable[StateSeen]) -> Iterator[StateSeen]:
    """Of all that say the same one after the other, the first and the last."""
    for _, run in groupby(_last_of_each_version(seen), key=lambda each: each.is_open):
        first, last = None, None
        for last in run:
            if first is None:
                first = last
                yield first
        if last is not None and last is not first:
            yield last


def _last_of_each_version(seen: Iterable[StateSeen]) -> Iterator[StateSeen]:
    """A read comes after the changes of its version, and says what holds at the end of the entry. Without one, two
    changes in one entry leave it open."""
    for _, same in groupby(seen, key=_version):
        first, *others = same
        last = others[-1] if others else first
        if last.is_read or all(each.is_open == last.is_open for each in (first, *others)):
            yield last


def _changes(evidence: Evidence, poll: str, life: Life) -> list[StateSeen]:
    rows = evidence.select(
        "SELECT changing.place, version, target, creates, closes_at, told, outcome, is_change FROM changing "
        "JOIN floor ON floor.place = changing.place WHERE poll = ? AND outcome <> ? ORDER BY begun",
        poll,
        FAIL,
    )
    seen: list[StateSeen] = []
    creations: list[tuple[PossibleChange, str]] = []
    for place, version, target, creates, closes_at, told, outcome, is_change in rows:
        is_known = outcome == OK and version is not None
        change = PossibleChange(version if is_known else told + 1, version if is_known else NEVER, place)
        if is_known and not (creates and creations):  # when it is asked again, the poll may have changed since
            seen.append(StateSeen(version, target == "open", place))
        if creates:
            creations.append((change, target))
        elif is_change:
            (life.openers if target == "open" else life.closers).append(change)
        if closes_at is not None:  # by the cluster's clock, of which the history knows nothing
            life.closers.append(PossibleChange(change.lowest, NEVER, place))
            life.is_timed = True
    if creations:
        life.created = PossibleChange(
            min(change.lowest for change, _ in creations),
            min(change.highest for change, _ in creations),
            creations[0][0].place,
        )
        if creations[0][1] == "open":
            life.openers.insert(0, life.created)
    return seen


def _draw(life: Life, seen: list[StateSeen], *, starts_open: bool) -> None:
    state, at = StateSeen(0, starts_open, 0), 0
    for after in seen:
        _between(life, state, after, at)
        state, at = after, after.version + 1
    others = life.closers if state.is_open else life.openers
    possible = [max(each.lowest, at) for each in others if each.highest == NEVER]
    until = min(possible, default=NEVER)
    _add(life, at, until - 1, OPEN if state.is_open else CLOSED)
    _add(life, until, NEVER, PERHAPS)


def _between(life: Life, before: StateSeen, after: StateSeen, first: int) -> None:
    """The versions from `first` up to that of `after`."""
    last, now = after.version, OPEN if before.is_open else CLOSED
    opens, closes = _within(life.openers, before.version, last), _within(life.closers, before.version, last)
    if before.is_open == after.is_open:
        _add(life, first, last, PERHAPS if opens and closes else now)
        return
    changes = opens if after.is_open else closes
    if not changes:
        life.contradictions.append(Contradiction(before, after))
        _add(life, first, last, PERHAPS)
        return
    earliest = max(first, min(each.lowest for each in changes))
    latest = min(last, max(each.highest for each in changes))
    _add(life, first, earliest - 1, now)
    _add(life, earliest, latest, PERHAPS)
    _add(life, latest + 1, last, OPEN if after.is_open else CLOSED)


def _within(changes: Iterable[PossibleChange], after: int, last: int) -> list[PossibleChange]:
    return [each for each in changes if each.lowest <= last and each.highest > after]


def _add(life: Life, first: int, last: int, state: int) -> None:
    if first > last:
        return
    if life.spans and life.spans[-1].state == state:
        life.spans[-1] = Span(life.spans[-1].first, last, state)
    else:
        life.spans.append(Span(first, last, state))
