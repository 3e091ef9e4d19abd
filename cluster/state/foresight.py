"""What would become of votes if they were applied at this moment. Nothing is changed by looking.

That a vote would change nothing (it is refused, or was counted before) is as true at this version as if an entry had
said it. That it would count is no promise, because other entries may come first.
"""

from __future__ import annotations

from collections.abc import Iterable

from quorate.cluster.entry import CastSession, Choice, hash_id
from quorate.cluster.state.admission import Admission
from quorate.cluster.state.dedup import CONFLICT, DUPLICATE, FINGERPRINT_BYTES
from quorate.cluster.state.sessions import Sessions
from quorate.cluster.state.shares import Shares
from quorate.cluster.state.tally import Tally
from quorate.cluster.state.tombstones import mixed
from quorate.vote import Outcome, Vote


class Foresight:
    """`seen` is what the proposer knew when the request came (see `entry.Seen`)."""

    def __init__(self, tally: Tally, dedup: Shares, sessions: Sessions) -> None:
        self._tally, self._dedup, self._sessions = tally, dedup, sessions
        self._admission = Admission(tally)

    def of_hashed(self, votes: Iterable[tuple[Choice, bytes | None]], seen: int) -> bytes:
        """An `Outcome` for each vote, by its choice and the hash of its id, as if it came alone."""
        self._tally.seen = seen
        return bytes([self._of_one(choice, id_hash) for choice, id_hash in votes])

    def of_whole(self, choices: Iterable[Vote], seen: int) -> bytes:
        """An `Outcome` for each choice of a request that counts as a whole. If any is not APPLIED, it is refused."""
        self._tally.seen = seen
        return self._admission.admit_all(choices)

    def is_known(self, key: str, hash_key: bytes) -> bool:
        """Whether an idempotency key was used."""
        return self._dedup.find(hash_id(key, hash_key)) is not None

    def is_next(self, producer: str, epoch: int, sequence: int) -> bool:
        """Whether this is the next batch of its producer session."""
        return self._sessions.check(CastSession(producer, epoch, sequence, 0, [], []), 0, 0) is None

    def _of_one(self, choice: Choice, id_hash: bytes | None) -> int:
        if id_hash is not None:
            found = self._dedup.find(id_hash)
            if found is not None:
                return DUPLICATE if found == self._stamp(choice) else CONFLICT
        return self._admission.admit(choice)

    def _stamp(self, choice: Choice) -> bytes:
        fingerprint = choice.fingerprint
        if choice.poll is not None:
            fingerprint = mixed(fingerprint, self._tally.creation_of(choice.poll))
        return fingerprint.to_bytes(FINGERPRINT_BYTES, "little")


def is_unknown(outcome: int) -> bool:
    """Whether it names an option or a poll that nobody knows: the leader may find it in a sink."""
    return outcome in (Outcome.UNKNOWN_OPTION, Outcome.UNKNOWN_POLL)
