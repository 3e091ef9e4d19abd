"""Producer sessions: a writer numbers its requests, and each counts once, until it is forgotten, at O(1) a request.

This works as Kafka's idempotent producer. Opening a session gives an epoch. Opening it again raises the epoch, and the
writer with the old epoch is refused from then on. Sequences start at 1, go up by one, and go on across epochs. The
fingerprints of the last five requests are remembered, so that a resend is told from another request with the same
number. An older resend is answered `expired_id`, because it cannot be compared any more. A session never expires: when
the table is full, new producers are refused until some are forgotten.

A session that was forgotten is not opened again by itself: its writer would begin at 1, and everything would count
twice. So its name is kept for a while, with its epoch: a new session of the name begins above it, so that a batch of
the forgotten one never counts in it. A name that never counted anything may be opened again at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from quorate.cluster.entry import CastSession, ForgetProducer, ForgetResult, ProducerResult, Refused, WholeResult
from quorate.cluster.state.tombstones import KEPT_MS
from quorate.vote import ID_BYTES_MAX, Outcome

PRODUCERS_MAX = 100_000
OWNED_MAX = PRODUCERS_MAX // 10  # that belong to one token. The doors see to it: it is no rule of the log
FORGOTTEN_MAX = 100_000
TOO_MANY_FORGOTTEN = (
    f"{FORGOTTEN_MAX:,} forgotten producers are remembered. The oldest are dropped when more votes were counted and "
    "some minutes have passed; then this one can be forgotten"
)
REMEMBERED_REQUESTS = 5  # as in Kafka, where a producer may have as many on the way

# (epoch, last sequence, fingerprints of the last requests, newest last). A tuple, so that a snapshot can share it.
Session = tuple[int, int, tuple[int, ...]]


def owner_of(producer: str) -> str:
    """The name of the token that a producer belongs to: `ann/p` to ann. "" if it belongs to none."""
    owner, slash, _ = producer.partition("/")
    return owner if slash else ""


class ForgottenProducer(msgspec.Struct, array_like=True, frozen=True):
    """The name of a session that was forgotten. It is opened again under an epoch above this one."""

    producer: str
    epoch: int
    may_have_counted: bool  # it counted a batch, or was opened more than once
    forgotten_ms: int
    version: int
    expires: int  # it may go when so many ids were ever accepted


@dataclass(frozen=True, slots=True)
class HowFar:
    """How far the cluster is: what the age of a forgotten name is measured by."""

    accepted: int  # ids, ever
    window: int
    version: int
    time_ms: int


class Sessions:
    def __init__(self, sessions: dict[str, Session] | None = None, forgotten: Iterable[ForgottenProducer] = ()) -> None:
        self._sessions = sessions or {}
        self._owned = Counter(map(owner_of, self._sessions))
        names = {name.producer: name for name in forgotten}  # the oldest first
        self._forgotten = {name: each for name, each in names.items() if each.may_have_counted}
        self._emptied = {name: each for name, each in names.items() if not each.may_have_counted}

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, producer: str) -> bool:
        return producer in self._sessions

    def owned_by(self, owner: str) -> int:
        """How many sessions belong to the token of this name; "": to none."""
        return self._owned[owner]

    def open(self, producer: str, *, anew: bool = False) -> ProducerResult | ForgetResult | Refused:
        """`anew`: also if this name was forgotten and may have counted something."""
        if not 1 <= len(producer.encode()) <= ID_BYTES_MAX:
            return Refused(f"a producer's name has 1 to {ID_BYTES_MAX} bytes of UTF-8")
        known = self._sessions.get(producer)
        if known is None and producer in self._forgotten and not anew:
            return ForgetResult("gone", detail=_was_forgotten(producer))
        if known is None and len(self._sessions) >= PRODUCERS_MAX:
            return Refused(f"this cluster has {PRODUCERS_MAX:,} producers already; `quorate producers forget` some")
        name = self._name(producer)
        epoch, sequence, recent = known or (0 if name is None else name.epoch, 0, ())
        if known is None:
            self._owned[owner_of(producer)] += 1
        self._sessions[producer] = (epoch + 1, sequence, recent)
        return ProducerResult(epoch + 1, sequence)

    def _name(self, producer: str) -> ForgottenProducer | None:
        return self._forgotten.get(producer) or self._emptied.get(producer)

    def forget(self, command: ForgetProducer, now: HowFar) -> ForgetResult:
        self._drop_names(now)
        producer, session, name = command.producer, self._sessions.get(command.producer), self._name(command.producer)
        if name is not None and (session is None or command.epoch is None):
            again = "" if session is None else f" and opened again: for that session give epoch {session[0]}"
            return ForgetResult("gone", detail=f"the producer {producer!r} was forgotten{again}")
        if session is None:
            return ForgetResult("unknown", detail=f"no producer has the name {producer!r}")
        epoch, sequence, _ = session
        if command.epoch not in (None, epoch):
            return ForgetResult("gone", detail=f"{producer!r} has epoch {epoch} now: it was opened again")
        counts = bool(sequence) or epoch > 1
        if counts and producer not in self._forgotten and len(self._forgotten) >= FORGOTTEN_MAX:
            return ForgetResult("too_large", detail=TOO_MANY_FORGOTTEN)
        del self._sessions[producer]
        self._owned[owner_of(producer)] -= 1
        self._forgotten.pop(producer, None)
        self._emptied.pop(producer, None)
        (self._forgotten if counts else self._emptied)[producer] = ForgottenProducer(
            producer, epoch, counts, now.time_ms, now.version, now.accepted + now.window
        )
        return ForgetResult("forgotten", epoch, sequence)

    def _drop_names(self, now: HowFar) -> None:
        """Drop the oldest names that are old enough. One that counted nothing goes as soon as its place is needed."""
        while self._forgotten:
            oldest = next(iter(self._forgotten.values()))
            is_full = len(self._forgotten) >= FORGOTTEN_MAX
            is_old = now.accepted >= oldest.expires or (is_full and now.version - oldest.version >= now.window)
            if not is_old or now.time_ms - oldest.forgotten_ms < KEPT_MS:
                break
            del self._forgotten[oldest.producer]
        if len(self._emptied) >= FORGOTTEN_MAX:
            del self._emptied[next(iter(self._emptied))]

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
        return [*self._forgotten.values(), *self._emptied.values()]


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
