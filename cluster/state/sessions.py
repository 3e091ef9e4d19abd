"""Producer sessions: a writer numbers its requests, and each counts once, protected for ever at O(1) a request.

This works as Kafka's idempotent producer. Opening a session gives an epoch. Opening it again raises the epoch, and the
writer with the old epoch is refused from then on. Sequences start at 1, go up by one, and go on across epochs. The
fingerprints of the last five requests are remembered, so that a resend is told from another request with the same
number. An older resend is answered `expired_id`, because it cannot be compared any more. A session never expires: when
the table is full, new producers are refused.
"""

from __future__ import annotations

from quorate.cluster.entry import CastSession, ProducerResult, Refused, WholeResult
from quorate.vote import ID_BYTES_MAX, Outcome

PRODUCERS_MAX = 100_000
REMEMBERED_REQUESTS = 5  # as in Kafka, where a producer may have as many on the way

# (epoch, last sequence, fingerprints of the last requests, newest last). A tuple, so that a snapshot can share it.
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

    def check(self, request: CastSession, votes: int) -> WholeResult | None:
        """None if the request is the next one of its session; otherwise its result."""
        session = self._sessions.get(request.producer)
        if session is None:
            return WholeResult(
                Outcome.INVALID, votes, detail=f"producer {request.producer!r} is unknown; open it first"
            )
        epoch, last, recent = session
        if request.epoch != epoch:
            return _wrong_epoch(request.epoch, epoch, votes)
        if request.sequence == last + 1:
            return None
        if request.sequence > last or request.sequence < 1:
            return WholeResult(
                Outcome.INVALID, votes, detail=f"sequence {request.sequence} came where {last + 1} is expected"
            )
        age = last - request.sequence
        if age >= len(recent):
            return WholeResult(
                Outcome.EXPIRED_ID,
                votes,
                detail=f"sequence {request.sequence} was counted before the last {len(recent)}: too old to compare",
            )
        if recent[-1 - age] != request.fingerprint:
            return WholeResult(
                Outcome.CONFLICT, votes, detail=f"sequence {request.sequence} was counted with other votes"
            )
        return WholeResult(Outcome.DUPLICATE, votes)

    def advance(self, request: CastSession) -> None:
        """Remember a request that `check` let through and that was counted."""
        epoch, sequence, recent = self._sessions[request.producer]
        self._sessions[request.producer] = (epoch, sequence + 1, (*recent, request.fingerprint)[-REMEMBERED_REQUESTS:])

    def freeze(self) -> dict[str, Session]:
        return self._sessions.copy()


def _wrong_epoch(epoch: int, current: int, votes: int) -> WholeResult:
    if epoch < current:
        detail = f"epoch {epoch} was fenced off: this producer was opened again, and epoch {current} writes now"
        return WholeResult(Outcome.EXPIRED_ID, votes, detail=detail)
    return WholeResult(Outcome.INVALID, votes, detail=f"epoch {epoch} was never opened; the last one is {current}")
