"""Producer sessions: a writer numbers its batches, and each counts once, protected for ever at O(1) a batch.

As Kafka's idempotent producer: opening gives an epoch, and opening again raises it, which fences off the writer before.
Sequences start at 1, go up by one and go on across epochs. The last five batches are remembered by fingerprint, so that
a resend is told from another batch under the same number; what is older is answered `expired_id`, because nobody can
tell any more. A session never expires: when the table is full, new producers are refused.
"""

from __future__ import annotations

from quorate.cluster.entry import CastSession, ProducerResult, Refused, WholeResult
from quorate.vote import ID_BYTES_MAX, Outcome

PRODUCERS_MAX = 100_000
REMEMBERED_BATCHES = 5  # as Kafka: as many as a producer may have on the way

# (epoch, last sequence, fingerprints of the last batches, newest last). Tuples, so that a snapshot may share them.
Session = tuple[int, int, tuple[int, ...]]


class Sessions:
    def __init__(self, sessions: dict[str, Session] | None = None) -> None:
        self._sessions = sessions or {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, producer: str) -> ProducerResult | Refused:
        if not 1 <= len(producer.encode()) <= ID_BYTES_MAX:
            return Refused(f"a producer's name has 1 to {ID_BYTES_MAX} bytes of UTF-8")
        known = self._sessions.get(producer)
        if known is None and len(self._sessions) >= PRODUCERS_MAX:
            return Refused(f"this cluster has {PRODUCERS_MAX:,} producers already and forgets none")
        epoch, sequence, recent = known or (0, 0, ())
        self._sessions[producer] = (epoch + 1, sequence, recent)
        return ProducerResult(epoch + 1, sequence)

    def check(self, batch: CastSession, votes: int) -> WholeResult | None:
        """None if the batch is the next one of its session, else what it is answered."""
        session = self._sessions.get(batch.producer)
        if session is None:
            return WholeResult(Outcome.INVALID, votes, detail=f"producer {batch.producer!r} is unknown; open it first")
        epoch, last, recent = session
        if batch.epoch != epoch:
            return _wrong_epoch(batch.epoch, epoch, votes)
        if batch.sequence == last + 1:
            return None
        if batch.sequence > last or batch.sequence < 1:
            return WholeResult(
                Outcome.INVALID, votes, detail=f"sequence {batch.sequence} came where {last + 1} is expected"
            )
        age = last - batch.sequence
        if age >= len(recent):
            return WholeResult(
                Outcome.EXPIRED_ID,
                votes,
                detail=f"sequence {batch.sequence} was counted before the last {len(recent)}: too old to compare",
            )
        if recent[-1 - age] != batch.fingerprint:
            return WholeResult(
                Outcome.CONFLICT, votes, detail=f"sequence {batch.sequence} was counted with other votes"
            )
        return WholeResult(Outcome.DUPLICATE, votes)

    def advance(self, batch: CastSession) -> None:
        """Remember a batch that `check` let through and that was counted."""
        epoch, sequence, recent = self._sessions[batch.producer]
        self._sessions[batch.producer] = (epoch, sequence + 1, (*recent, batch.fingerprint)[-REMEMBERED_BATCHES:])

    def freeze(self) -> dict[str, Session]:
        return self._sessions.copy()


def _wrong_epoch(epoch: int, current: int, votes: int) -> WholeResult:
    if epoch < current:
        detail = f"epoch {epoch} was fenced off: this producer was opened again, and epoch {current} writes now"
        return WholeResult(Outcome.EXPIRED_ID, votes, detail=detail)
    return WholeResult(Outcome.INVALID, votes, detail=f"epoch {epoch} was never opened; the last one is {current}")
