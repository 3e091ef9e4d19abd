"""Producer sessions: a writer numbers its requests, and each counts once, protected for ever at O(1) a request.

This works as Kafka's idempotent producer. Opening a session gives an epoch. Opening it again raises the epoch, and the
writer with the old epoch is refused from then on. Sequences start at 1, go up by one, and go on across epochs. The
fingerprints of the last five requests are remembered, so that a resend is told from another request with the same
number. An older resend is answered `expired_id`, because it cannot be compared any more. A session never expires: when
the table is full, new producers are refused until some are forgotten.

A session that was forgotten is not opened again by itself: its writer would begin at 1, and everything would count
twice. So its name is kept for a while. New sessions begin above every epoch that was ever forgotten, so that a batch of
a forgotten session never counts in a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from quorate.cluster.entry import CastSession, ForgetProducer, ForgetResult, ProducerResult, Refused, WholeResult
from quorate.vote import ID_BYTES_MAX, Outcome

PRODUCERS_MAX = 100_000
FORGOTTEN_MAX = 100_000
REMEMBERED_REQUESTS = 5  # as in Kafka, where a producer may have as many on the way

# (epoch, last sequence, fingerprints of the last requests, newest last). A tuple, so that a snapshot can share it.
Session = tuple[int, int, tuple[int, ...]]


class ForgottenProducer(msgspec.Struct, array_like=True, frozen=True):
    """The name of a session that was forgotten. It goes when `expires` ids were ever accepted. Where all names are
    taken, so many entries of the log since `version` are enough."""

    producer: str
    version: int
    expires: int


class Sessions:
    def __init__(
        self,
        sessions: dict[str, Session] | None = None,
        forgotten: Iterable[ForgottenProducer] = (),
        epochs_forgotten: int = 0,
    ) -> None:
        self._sessions = sessions or {}
        self._forgotten = {name.producer: name for name in forgotten}  # the oldest first
        self.epochs_forgotten = epochs_forgotten  # the highest epoch of a session that was forgotten

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, producer: str, *, anew: bool = False) -> ProducerResult | ForgetResult | Refused:
        """`anew`: also if this name was forgotten."""
        if not 1 <= len(producer.encode()) <= ID_BYTES_MAX:
            return Refused(f"a producer's name has 1 to {ID_BYTES_MAX} bytes of UTF-8")
        known = self._sessions.get(producer)
        if known is None and producer in self._forgotten and not anew:
            return ForgetResult("gone", detail=_was_forgotten(producer))
        if known is None and len(self._sessions) >= PRODUCERS_MAX:
            return Refused(f"this cluster has {PRODUCERS_MAX:,} producers already; `quorate producers forget` some")
        epoch, sequence, recent = known or (self.epochs_forgotten, 0, ())
        self._sessions[producer] = (epoch + 1, sequence, recent)
        return ProducerResult(epoch + 1, sequence)

    def forget(self, command: ForgetProducer, *, accepted: int, window: int, version: int) -> ForgetResult:
        """`accepted` is how many ids were ever accepted."""
        self._drop_names(accepted, window, version)
        producer, session = command.producer, self._sessions.get(command.producer)
        if producer in self._forgotten and (session is None or command.epoch is None):
            return ForgetResult("gone", detail=f"the producer {producer!r} was forgotten")
        if session is None:
            return ForgetResult("unknown", detail=f"no producer has the name {producer!r}")
        epoch, sequence, _ = session
        if command.epoch not in (None, epoch):
            return ForgetResult("gone", detail=f"{producer!r} has epoch {epoch} now: it was opened again")
        if sequence and producer not in self._forgotten and len(self._forgotten) >= FORGOTTEN_MAX:
            return ForgetResult("too_large", detail=f"{FORGOTTEN_MAX:,} names are remembered as forgotten already")
        del self._sessions[producer]
        self.epochs_forgotten = max(self.epochs_forgotten, epoch)
        if sequence:
            self._forgotten.pop(producer, None)
            self._forgotten[producer] = ForgottenProducer(producer, version, accepted + window)
        return ForgetResult("forgotten", epoch, sequence)

    def _drop_names(self, accepted: int, window: int, version: int) -> None:
        """Drop the oldest names that have expired."""
        while self._forgotten:
            oldest = next(iter(self._forgotten.values()))
            is_full = len(self._forgotten) >= FORGOTTEN_MAX
            if accepted < oldest.expires and not (is_full and version - oldest.version >= window):
                break
            del self._forgotten[oldest.producer]

    def check(self, request: CastSession, fingerprint: int, votes: int) -> WholeResult | None:
        """None if the request is the next one of its session; otherwise its result."""
        session = self._sessions.get(request.producer)
        if session is None and request.producer in self._forgotten:
            return WholeResult(Outcome.DELETED, votes, detail=_was_forgotten(request.producer))
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
        if recent[-1 - age] != fingerprint:
            return WholeResult(
                Outcome.CONFLICT, votes, detail=f"sequence {request.sequence} was counted with other votes"
            )
        return WholeResult(Outcome.DUPLICATE, votes)

    def advance(self, request: CastSession, fingerprint: int) -> None:
        """Remember a request that `check` let through and that was counted."""
        epoch, sequence, recent = self._sessions[request.producer]
        self._sessions[request.producer] = (epoch, sequence + 1, (*recent, fingerprint)[-REMEMBERED_REQUESTS:])

    def freeze(self) -> dict[str, Session]:
        return self._sessions.copy()

    def forgotten(self) -> Sequence[ForgottenProducer]:
        return list(self._forgotten.values())


def _was_forgotten(producer: str) -> str:
    return (
        f"the producer {producer!r} was forgotten, and what it sent may be counted already: nobody can tell any more. "
        "To begin anew under this name, open it as new (`quorate feed --new`)"
    )


def _wrong_epoch(epoch: int, current: int, votes: int) -> WholeResult:
    if epoch < current:
        detail = f"epoch {epoch} was fenced off: this producer was opened again, and epoch {current} writes now"
        return WholeResult(Outcome.EXPIRED_ID, votes, detail=detail)
    return WholeResult(Outcome.INVALID, votes, detail=f"epoch {epoch} was never opened; the last one is {current}")
