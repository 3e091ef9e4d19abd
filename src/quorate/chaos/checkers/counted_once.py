"""Each acknowledged vote is counted once, each other at most once: what became of each request.

All attempts at a request have the same votes. Votes that every answer treated alike are a group. For a group, each
attempt says one thing:

- APPLIED at version V: it counted there.
- DUPLICATE at V: an earlier attempt had counted, at V or below. At V itself, because an entry may hold both attempts.
- COUNTED at V: one of the two. Redis clients are not told which. It is APPLIED if nothing else can have counted before.
- REFUSED at V: nothing had counted below V.
- UNKNOWN: it may count, once, at any version above the floor of the attempt, which is the greatest version that anybody
  had been told before it began.
- nothing, if it surely had no effect.

So a group counted at a known version, or within an interval of versions, or perhaps never. That is a row of `vote`: the
interval, and whether it surely counted. What is said twice is judged in `resends.py`, what is said of nothing here.

An id is protected for a window of accepted ids only. Where more may have been accepted (`resends.py`), an attempt can
count once more, also one without an answer.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import NamedTuple

import msgspec

from quorate.chaos.checkers.evidence import NEVER, Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.later_versions import LaterVersions
from quorate.chaos.checkers.loading import DECIDED, FAIL, FOLLOWS_QUEUE, IDS, OK, PUBLISHED, SESSION, UNKNOWN
from quorate.chaos.checkers.resends import IdWindow
from quorate.errors import Invalid

CLOSED = "closed"
UNLIKE_OPEN = frozenset((CLOSED, "unknown_poll", "unknown_option"))  # reasons that no open poll gives for its options
APPLIED, DUPLICATE, REFUSED, NO_ANSWER, WITHOUT_EFFECT, MIXED, COUNTED = range(7)

SETTLED = {  # an unknown outcome, by the next answer
    DUPLICATE: "unknown-outcome-had-counted",
    APPLIED: "unknown-outcome-had-not-counted",
    REFUSED: "unknown-outcome-refused-later",
}

ATTEMPTS = """
SELECT request, casting.place, begun, ended, outcome, version, applied, duplicates, counted, rejected, codes, way,
    producer, epoch, sequence, node, queue, floor.told
FROM casting JOIN floor ON floor.place = casting.place ORDER BY request, begun, casting.place
"""


class CastAttempt(NamedTuple):
    request: str
    place: int
    begun: float
    ended: float | None
    outcome: int
    version: int | None
    applied: int
    duplicates: int
    counted: int
    rejected: str
    codes: bytes
    way: int
    producer: str
    epoch: int
    sequence: int
    node: str
    queue: int
    told: int

    @property
    def lowest(self) -> int:
        """The lowest version at which it can have counted."""
        return self.told + 1 if self.version is None else self.version

    @property
    def highest(self) -> int:
        return NEVER if self.version is None else self.version


class Said(NamedTuple):
    """What the answer to an attempt says of a group of votes."""

    what: int
    attempt: CastAttempt


_rejections = msgspec.json.Decoder(list[tuple[int, str]]).decode


class Requests:
    def __init__(self, evidence: Evidence, findings: Findings, window: IdWindow) -> None:
        self._evidence = evidence
        self._findings = findings
        self._window = window
        self._later = LaterVersions(evidence)

    def judge(self) -> None:
        """Fill the tables `vote`, `refusal` and `batch`. Raises `Invalid` for a request that has two meanings."""
        for _, rows in groupby(self._evidence.select(ATTEMPTS), key=itemgetter(0)):
            attempts = [CastAttempt(*row) for row in rows]
            self._findings.count("counted_once", "requests")
            self._request(attempts)
        self._evidence.flush(index=("vote",))

    def _request(self, attempts: list[CastAttempt]) -> None:
        first = attempts[0]
        codes = struct.unpack(f"<{len(first.codes) // 4}I", first.codes)
        if len(attempts) > 1:
            self._findings.count("resends", "requests sent again")
            if first.way != SESSION and any(attempt.codes != first.codes for attempt in attempts):
                raise Invalid(f"no history: request {first.request} was sent again with other votes")
        for attempt in attempts:
            self._refused(codes, attempt)
        groups = list(_groups(codes, attempts))
        for attempt in attempts:
            if attempt.applied and attempt.duplicates:
                _resolve(groups, attempt, self._window)
        for picks, said in groups:
            if said:
                self._group(picks, said)
        for code in {code for code in codes if code & 1}:
            self._without_ids(code >> 1, [place for place, each in enumerate(codes) if each == code], attempts)

    # ---- votes without ids ------------------------------------------------------------------------------------------

    def _without_ids(self, pick: int, indexes: list[int], attempts: list[CastAttempt]) -> None:
        """Each attempt is another vote."""
        for attempt in attempts:
            refused = {index for index, _ in _rejected(attempt)}
            votes = sum(index not in refused for index in indexes)
            if attempt.outcome == UNKNOWN:
                self._vote(Counter({pick: votes}), attempt.told + 1, NEVER, attempt, sure=False)
            elif attempt.outcome == OK and votes:
                self._findings.count("counted_once", "acknowledged votes", votes)
                self._vote(Counter({pick: votes}), attempt.lowest, attempt.highest, attempt)

    # ---- votes that count once --------------------------------------------------------------------------------------

    def _group(self, picks: Counter[int], said: list[Said]) -> None:
        by_what: dict[int, list[CastAttempt]] = {}
        for what, attempt in said:
            for each in _readings(what, attempt, said):
                by_what.setdefault(each, []).append(attempt)
        applied, unknown = by_what.get(APPLIED, []), by_what.get(NO_ANSWER, [])
        duplicates = by_what.get(DUPLICATE, []) + by_what.get(MIXED, [])
        votes = sum(picks.values())
        if applied or duplicates:
            self._findings.count("counted_once", "acknowledged votes", votes)
        if len(said) > 1 or duplicates:
            self._note(said)
        if any(each.what == NO_ANSWER for each in said):
            self._findings.count("counted_once", "votes without an answer", votes)
        applied.sort(key=_version)
        for attempt in applied:
            self._vote(picks, attempt.lowest, attempt.highest, attempt)
            self._lost_by_queue(attempt, unknown)
        for first, second in pairwise(applied):
            self._again(first.lowest, first, second)
        if applied:
            self._mixed(picks, applied[0], by_what.get(MIXED, []))
        if duplicates:
            self._duplicates(picks, applied, sorted(duplicates, key=_version), unknown)
        elif not applied and unknown:
            self._perhaps(picks, unknown, by_what.get(REFUSED, []))
        elif applied and unknown:
            self._late(picks, applied[0].lowest, unknown, applied[0])

    def _lost_by_queue(self, applied: CastAttempt, unknown: list[CastAttempt]) -> None:
        """A vote that a queue had, and was finished with, must have counted by then."""
        if applied.queue == FOLLOWS_QUEUE:
            published = [each.place for each in unknown if each.queue == PUBLISHED]
            words = (
                f"request {applied.request} was published to a queue, which was finished with it, and had not counted"
            )
            self._findings.violate("counted_once", words, [*published, applied.place])

    def _duplicates(
        self, picks: Counter[int], applied: list[CastAttempt], duplicates: list[CastAttempt], unknown: list[CastAttempt]
    ) -> None:
        perhaps = sum(each.counted > 0 for each in duplicates)
        self._findings.count("resends", "duplicate answers", len(duplicates) - perhaps)
        self._findings.count("resends", "answers that may be of a duplicate", perhaps)
        first = duplicates[0]
        if applied and applied[0].lowest <= first.highest:
            self._late(picks, applied[0].lowest, unknown, applied[0])
            return
        before = [each for each in unknown if each.told + 1 <= first.highest and _begun_before(each, first)]
        if not before:
            self._of_nothing(first, applied)
            return
        lowest = min(each.told + 1 for each in before)
        self._vote(picks, lowest, first.highest, first)
        if applied:  # it had counted when it was called a duplicate, and counted again
            self._again(lowest, first, applied[0])
        self._late(picks, lowest, unknown[1:])

    def _of_nothing(self, duplicate: CastAttempt, applied: list[CastAttempt]) -> None:
        why = "but nothing that was sent before can have counted"
        if applied:
            why = f"but it was applied later, at version {applied[0].version}"
        words = f"request {duplicate.request} was called a duplicate at version {duplicate.version}, {why}"
        self._findings.violate("counted_once", words, [duplicate.place, *(each.place for each in applied)])

    def _perhaps(self, picks: Counter[int], unknown: list[CastAttempt], refused: list[CastAttempt]) -> None:
        """No answer says whether it counted. It did not below a version at which it was refused."""
        first = min(each.told + 1 for each in unknown)
        refusals = [each.version for each in refused if each.version is not None]
        refused_at = max((at for at in refusals if not self._window.may_leave(first, at)), default=0)
        by_epoch = {attempt.epoch: attempt for attempt in reversed(unknown)}  # the first of each: only one can count
        for attempt in by_epoch.values():
            self._vote(picks, max(attempt.told + 1, refused_at), NEVER, attempt, sure=False)
        if len(unknown) > 1:
            self._late(picks, first, unknown[1:])
        is_open = not refused or refused[-1].begun < unknown[-1].begun
        if is_open and unknown[0].way != SESSION:  # whether a batch counted, a later opening of its session tells
            self._findings.leave_open(unknown[-1].place)

    def _again(self, lowest: int, first: CastAttempt, second: CastAttempt) -> None:
        """A group counted at `lowest` or above, as the first answer shows, and then at the second one's version."""
        if first.way == SESSION or not self._window.may_leave(lowest, second.highest):
            words = f"request {first.request} had counted at version {first.version}, and sent again it was applied at "
            self._findings.violate("resends", f"{words}{second.version} too", [first.place, second.place])
        else:
            self._findings.count("resends", "counted again beyond the dedup window")
            self._findings.reach("resend-beyond-the-dedup-window", second.place)

    def _mixed(self, picks: Counter[int], applied: CastAttempt, mixed: list[CastAttempt]) -> None:
        """A part of a request that had counted was applied again; which part, the answer does not say."""
        for attempt in mixed:
            if attempt.lowest > applied.highest:
                self._again(applied.lowest, applied, attempt)
                self._vote(picks, attempt.lowest, attempt.highest, attempt, sure=False)

    def _late(
        self, picks: Counter[int], counted: int, unknown: list[CastAttempt], applied: CastAttempt | None = None
    ) -> None:
        """Attempts without an answer, of a group that counted at `counted` or above, may count once more: when its id
        has left the window, or so long before it was applied that it had left the window by then."""
        if not unknown or unknown[0].way == SESSION or not self._window.is_outrun:
            return
        for attempt in unknown:
            lowest = attempt.told + 1
            if applied is None or lowest >= counted or not self._window.may_leave(lowest, applied.highest):
                lowest = max(lowest, self._window.leaves_at(counted))
            if lowest < NEVER:
                self._vote(picks, lowest, NEVER, attempt, sure=False)

    # ---- rows -------------------------------------------------------------------------------------------------------

    def _vote(self, picks: Counter[int], lowest: int, highest: int, attempt: CastAttempt, *, sure: bool = True) -> None:
        if sure and highest == NEVER:
            highest = max(lowest, self._later.lowest_after(attempt.ended))
        for pick, votes in picks.items():
            self._evidence.add("vote", pick, lowest, highest, votes, sure, attempt.place)
        if attempt.way == SESSION:
            row = (attempt.producer, attempt.sequence, attempt.epoch, lowest, highest, sure, attempt.place)
            self._evidence.add("batch", *row)

    def _refused(self, codes: Sequence[int], attempt: CastAttempt) -> None:
        refused = {(codes[place] >> 1, reason) for place, reason in _rejected(attempt) if reason in UNLIKE_OPEN}
        if any(reason == CLOSED for _, reason in refused):
            self._findings.reach("vote-refused-as-closed", attempt.place)
        if attempt.version is not None:
            for pick, reason in refused:
                if reason == CLOSED or self._evidence.is_planned(pick):
                    self._evidence.add("refusal", pick, attempt.version, attempt.place, reason)

    def _note(self, said: list[Said]) -> None:
        """Situations that a run wants to come through."""
        reach, term_at = self._findings.reach, self._evidence.term_at
        for (before, earlier), (what, later) in pairwise(said):
            if earlier.queue == PUBLISHED:
                if what == DUPLICATE:
                    reach("queued-vote-had-counted", later.place)
                continue
            is_under_another = term_at(later.begun) > term_at(earlier.begun) > 0
            if what == COUNTED and is_under_another:
                reach("redis-resend-answered-by-another-leader", later.place)
            if what == DUPLICATE:
                reach("duplicate-answer", later.place)
                if later.node != earlier.node:
                    reach("resend-answered-by-another-node", later.place)
                if is_under_another:
                    reach("resend-answered-by-another-leader", later.place)
            if before == NO_ANSWER and what in SETTLED:
                reach(SETTLED[what], later.place)


def _version(attempt: CastAttempt) -> int:
    return attempt.highest


def _begun_before(earlier: CastAttempt, later: CastAttempt) -> bool:
    return later.ended is None or earlier.begun < later.ended


def _readings(what: int, attempt: CastAttempt, said: list[Said]) -> tuple[int, ...]:
    """What it may mean. COUNTED beside others is a duplicate, of those or of this very attempt."""
    if what != COUNTED:
        return (what,)
    may_be_known = any(each.attempt is not attempt and _begun_before(each.attempt, attempt) for each in said)
    return (DUPLICATE, NO_ANSWER) if may_be_known else (APPLIED,)


def _rejected(attempt: CastAttempt) -> list[tuple[int, str]]:
    return _rejections(attempt.rejected) if attempt.rejected else []


def _groups(codes: Sequence[int], attempts: list[CastAttempt]) -> Iterator[tuple[Counter[int], list[Said]]]:
    """The votes that count once, in groups: those of a group were treated alike by each answer."""
    with_ids = [place for place, code in enumerate(codes) if not code & 1]
    if not any(attempt.rejected for attempt in attempts):
        said = [Said(what, each) for each in attempts if (what := _said(each, len(with_ids), codes)) != WITHOUT_EFFECT]
        yield Counter(codes[place] >> 1 for place in with_ids), said
        return
    by_place = [_by_place(attempt, with_ids, codes) for attempt in attempts]
    alike: dict[tuple[int, ...], Counter[int]] = {}
    for at, place in enumerate(with_ids):
        alike.setdefault(tuple(column[at] for column in by_place), Counter())[codes[place] >> 1] += 1
    for pattern, picks in alike.items():
        pairs = zip(pattern, attempts, strict=True)
        yield picks, [Said(what, attempt) for what, attempt in pairs if what != WITHOUT_EFFECT]


def _resolve(groups: list[tuple[Counter[int], list[Said]]], attempt: CastAttempt, window: IdWindow) -> None:
    """An answer said that some votes were applied and others were duplicates: find out which, if that can be known."""
    mixed = [(picks, said) for picks, said in groups if Said(MIXED, attempt) in said]
    kinds = [_what_it_must_be(said, attempt, window) for _, said in mixed]
    sizes = Counter[int]()
    for (picks, _), kind in zip(mixed, kinds, strict=True):
        sizes[kind] += sum(picks.values())
    applied, duplicates = attempt.applied, attempt.duplicates
    if sizes[APPLIED] > applied or sizes[DUPLICATE] > duplicates:
        return  # that is wrong, and found where the groups are judged
    others = APPLIED if sizes[DUPLICATE] == duplicates else DUPLICATE if sizes[APPLIED] == applied else MIXED
    for (_, said), kind in zip(mixed, kinds, strict=True):
        said[said.index(Said(MIXED, attempt))] = Said(others if kind == MIXED else kind, attempt)


def _what_it_must_be(said: list[Said], attempt: CastAttempt, window: IdWindow) -> int:
    """What an answer must say of a group, by the other attempts: MIXED if they leave it open."""
    others = [each for each in said if each.attempt is not attempt]
    counted = [each.attempt.highest for each in others if each.what in (APPLIED, DUPLICATE)]
    held = [version for version in counted if version < attempt.lowest]
    if held:
        may_leave = window.may_leave(min(each.attempt.told + 1 for each in said), attempt.highest)
        return MIXED if may_leave else DUPLICATE
    may_have = any(
        each.what in (NO_ANSWER, MIXED)
        and each.attempt.lowest <= attempt.highest
        and _begun_before(each.attempt, attempt)
        for each in others
    )
    return MIXED if may_have or attempt.lowest in counted else APPLIED


def _by_place(attempt: CastAttempt, with_ids: list[int], codes: Sequence[int]) -> list[int]:
    """What the answer says of each vote that has an id."""
    rejected = dict(_rejected(attempt))
    if rejected and attempt.way != IDS:  # all or nothing
        return [REFUSED] * len(with_ids)
    left = sum(place not in rejected for place in with_ids)
    others = _said(attempt, left, codes)
    return [
        (REFUSED if rejected[place] in DECIDED else WITHOUT_EFFECT) if place in rejected else others
        for place in with_ids
    ]


def _said(attempt: CastAttempt, votes: int, codes: Sequence[int]) -> int:
    """What the answer says of `votes` votes with ids that it did not refuse."""
    if attempt.outcome == FAIL or not votes:
        return WITHOUT_EFFECT
    if attempt.outcome == UNKNOWN:
        return NO_ANSWER
    if attempt.counted:
        return COUNTED
    if not attempt.duplicates:
        return APPLIED if attempt.applied else NO_ANSWER
    return DUPLICATE if attempt.duplicates >= votes else MIXED
