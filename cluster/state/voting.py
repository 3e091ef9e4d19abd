"""The commands that vote: each vote is checked for having been counted before, then admitted, then counted.

Votes of `CastVotes` are decided one after the other: what one vote changes is seen by the next. A whole request, under
an idempotency key or in a producer session, counts with all its votes or not at all. A request that was refused does
not use up its key or its sequence.
"""

from __future__ import annotations

from array import array
from collections import Counter
from struct import iter_unpack

from quorate.cluster.entry import (
    ID_HASH_BYTES,
    CastOnce,
    CastSession,
    CastVotes,
    Choice,
    Refused,
    VotesResult,
    WholeResult,
)
from quorate.cluster.state.admission import Admission
from quorate.cluster.state.dedup import FINGERPRINT_BYTES
from quorate.cluster.state.sessions import Sessions
from quorate.cluster.state.shares import COMMON, Shares
from quorate.cluster.state.tally import Tally
from quorate.cluster.state.tombstones import mixed
from quorate.vote import WEIGHT_MAX, Outcome

TOGETHER = 8  # choices; fewer are faster one by one


class Voting:
    """`share`: of the dedup window, for the votes that come now."""

    def __init__(self, tally: Tally, dedup: Shares, sessions: Sessions) -> None:
        self.share = COMMON
        self._tally = tally
        self._admission = Admission(tally)
        self._dedup = dedup
        self._sessions = sessions

    def votes(self, command: CastVotes) -> VotesResult | Refused:
        choices = command.choices
        if len(command.ids) % ID_HASH_BYTES or len(command.picks) * 2 != len(command.ids):
            return Refused("ids and picks differ in number")
        picks = array("I", command.picks)
        simple = _counted(picks, command.picks)
        if max(simple, default=-1) >= len(choices) or not _all_inside(command.plain, len(choices)):
            return Refused("a vote picks a choice that is not there")
        return VotesResult(self._with_ids(command, picks, simple), self._plain(command))

    def _with_ids(self, command: CastVotes, picks: array[int], simple: dict[int, int]) -> bytes:
        """`simple`: how many votes there are for each choice."""
        if not picks:
            return b""
        choices, fingerprints = command.choices, self._stamps(command.choices)
        # A choice that has a place is sure: no vote of this command can change its outcome.
        roomy = self._tally.fits(len(picks) * WEIGHT_MAX)
        places = self._admission.places_of(choices) if roomy else [None] * len(choices)
        sure = [None if place is None else stamp for place, stamp in zip(places, fingerprints, strict=True)]
        outcomes, apart = self._dedup.accept(
            self.share, command.ids, picks, fingerprints, sure, lambda pick: self._one(command, pick, 1)
        )
        for vote in apart:
            simple[picks[vote]] -= 1
        self._tally.count_at(places, choices, simple)
        return bytes(outcomes)

    def _stamps(self, choices: list[Choice]) -> list[bytes]:
        """What the table holds of votes for these choices. For a poll it has the number of the poll's creation."""
        creation_of = self._tally.creation_of
        fingerprints = array(
            "I",
            [
                choice.fingerprint if choice.poll is None else mixed(choice.fingerprint, creation_of(choice.poll))
                for choice in choices
            ],
        )
        return [stamp for (stamp,) in iter_unpack("4s", fingerprints.tobytes())]

    def _plain(self, command: CastVotes) -> bytes:
        plain, choices = command.plain, command.choices
        if len(plain) < TOGETHER or not self._roomy(plain):
            return bytes([self._one(command, pick, votes) for pick, votes in plain])
        places, outcomes, simple = self._admission.places_of(choices), bytearray(len(plain)), dict(plain)
        if None in places or len(simple) < len(plain):  # otherwise all are sure, and each choice is there once
            simple = Counter[int]()
            for item, (pick, votes) in enumerate(plain):
                if places[pick] is None:
                    outcomes[item] = self._one(command, pick, votes)
                else:
                    simple[pick] += votes
        self._tally.count_at(places, choices, simple)
        return bytes(outcomes)

    def _roomy(self, plain: list[tuple[int, int]]) -> bool:
        """Whether all of these votes fit, whatever their weights are."""
        each = [votes for _, votes in plain]
        return min(each) > 0 and self._tally.fits(sum(each) * WEIGHT_MAX)

    def _one(self, command: CastVotes, pick: int, votes: int) -> Outcome:
        """Count `votes` new votes for a choice, if they are admitted."""
        choice = command.choices[pick]
        outcome = self._admission.admit(choice, votes)
        if outcome == Outcome.APPLIED:
            self._tally.count(choice, votes)
        return outcome

    # ---- whole requests ---------------------------------------------------------------------------------------------

    def once(self, command: CastOnce) -> WholeResult | Refused:
        wrong = _check_whole(command)
        if wrong is not None or len(command.key) != ID_HASH_BYTES:
            return wrong or Refused("a key's hash has 8 bytes")
        votes = sum(votes for _, votes in command.sums)
        stamp, known = _stamp(self._fingerprint(command)), self._dedup.find(command.key)
        if known is not None and known != stamp:
            return WholeResult(Outcome.CONFLICT, votes, detail="this key was used for something else")
        if known is not None:
            return WholeResult(Outcome.DUPLICATE, votes)
        result = self._whole(command, votes)
        if result.outcome == Outcome.APPLIED:
            self._dedup.add(self.share, command.key, stamp)
        return result

    def session(self, command: CastSession) -> WholeResult | Refused:
        wrong = _check_whole(command)
        if wrong is not None:
            return wrong
        votes = sum(votes for _, votes in command.sums)
        fingerprint = self._fingerprint(command)
        known = self._sessions.check(command, fingerprint, votes)
        if known is not None:
            return known
        result = self._whole(command, votes)
        if result.outcome == Outcome.APPLIED:
            self._sessions.advance(command, fingerprint)
        return result

    def _fingerprint(self, command: CastOnce | CastSession) -> int:
        """Of a whole request, with the numbers of its polls: sent again under new polls it is another one."""
        fingerprint = command.fingerprint
        for poll in sorted({choice.poll for choice in command.choices if choice.poll is not None}):
            fingerprint = mixed(fingerprint, self._tally.creation_of(poll))
        return fingerprint

    def _whole(self, command: CastOnce | CastSession, votes: int) -> WholeResult:
        choices, sums = command.choices, command.sums
        places = self._admission.places_of(choices) if len(choices) >= TOGETHER else [None]
        if None in places:  # otherwise all are sure
            by_choice = self._admission.admit_all(choices)
            if any(by_choice):
                return WholeResult(next(filter(None, by_choice)), votes, by_choice)
        if not self._tally.fits(sum(votes * choices[pick].weight for pick, votes in sums)):
            return WholeResult(Outcome.TOO_LARGE, votes, detail="these votes would take the totals over 2^63-1")
        simple = dict(sums)
        if None not in places and len(simple) == len(sums):
            self._tally.count_at(places, choices, simple)
        else:
            for pick, together in sums:
                self._tally.count(choices[pick], together)
        return WholeResult(Outcome.APPLIED, votes)


def _counted(picks: array[int], encoded: bytes) -> dict[int, int]:
    """How many votes there are for each choice. Often all are for the first one, which is seen at once."""
    votes = len(picks)
    if encoded == bytes(4 * votes):
        return {0: votes} if votes else {}
    return Counter(picks)


def _check_whole(command: CastOnce | CastSession) -> Refused | None:
    if not _all_inside(command.sums, len(command.choices)):
        return Refused("a sum picks a choice that is not there")
    if any(votes < 1 for _, votes in command.sums):
        return Refused("a sum has less than one vote")
    return None


def _all_inside(sums: list[tuple[int, int]], choices: int) -> bool:
    return all(0 <= pick < choices for pick, _ in sums)


def _stamp(fingerprint: int) -> bytes:
    return fingerprint.to_bytes(FINGERPRINT_BYTES, "little")
