"""Which vote ids were accepted lately, and for which vote: what makes sending a vote again safe.

An id is held as its keyed 64-bit hash with the vote's 32-bit fingerprint. It is protected for at least the next N
accepted ids (N is the window, set by a logged command), never by time. Two generations do that: when the current one
holds N ids it is closed and a new one begins; a closed one is forgotten N accepted ids later. So N to 2N ids are held.

Odds. A new id clashes with one of H held ids with probability H / 2^64: with two million held, once in 9e12 votes. The
key is secret, so nobody can prepare a clash. The clash answers CONFLICT, which the voter sees, unless both votes are
for the same choice: then it answers DUPLICATE and one vote is missing. A resend with another choice is taken for the
same vote only if two fingerprints agree: once in 4e9 such resends.

Pure and the same on every node: buckets by the first bytes of the hash, records in the order they came.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from struct import Struct

from quorate.vote import Outcome

WINDOW_MAX = 8_000_000  # about 240 MB; beyond, buckets grow so long that a look-up takes over a microsecond
SMALL_WINDOW_MAX = 16_384  # up to here 256 buckets do; 65,536 empty ones would cost 4 MB
CLOSED_MAX = 4  # generations held besides the current one; only changes of the window make more than one
FINGERPRINT_BYTES = 4

_APPLIED, _DUPLICATE, _CONFLICT = int(Outcome.APPLIED), int(Outcome.DUPLICATE), int(Outcome.CONFLICT)


@dataclass(frozen=True, slots=True)
class DedupView:
    size: int  # the window N
    accepted: int  # ids in the current generation; at N it is closed
    held: int  # ids held in all generations
    memory_bytes: int  # of everything held, by sys.getsizeof


class _Layout:
    """How an 8-byte hash is split: the first bytes name the bucket, the rest stand in its records."""

    def __init__(self, head_bytes: int) -> None:
        self.head_bytes = head_bytes
        self.tail_bytes = 8 - head_bytes
        self.record_bytes = self.tail_bytes + FINGERPRINT_BYTES
        self.buckets = 256**head_bytes
        self.columns = Struct({1: "<B7s", 2: "<H6s"}[head_bytes])
        self.nothing: Sequence[bytes] = (b"",) * self.buckets

    def find(self, bucket: bytes | bytearray, tail: bytes) -> bytes | None:
        at = bucket.find(tail)
        while at >= 0:
            if at % self.record_bytes == 0:
                return bytes(bucket[at + self.tail_bytes : at + self.record_bytes])
            at = bucket.find(tail, at + 1)  # bytes of two neighbours that look like it
        return None


_LAYOUTS = {head_bytes: _Layout(head_bytes) for head_bytes in (1, 2)}


def _layout_for(window: int) -> _Layout:
    return _LAYOUTS[1 if window <= SMALL_WINDOW_MAX else 2]


@dataclass(slots=True)
class Closed:
    """A generation that takes no more ids. `buckets` never changes, so a snapshot may share it."""

    layout: _Layout
    buckets: Sequence[bytes]
    count: int
    expires: int  # forgotten once this many ids were accepted in all

    @property
    def memory_bytes(self) -> int:
        return sys.getsizeof(self.buckets) + sum(map(sys.getsizeof, self.buckets))


@dataclass(slots=True)
class _Current:
    layout: _Layout
    buckets: list[bytearray] = field(default_factory=list)  # made with the first id
    count: int = 0

    def make(self) -> list[bytearray]:
        if not self.buckets:
            self.buckets = [bytearray() for _ in range(self.layout.buckets)]
        return self.buckets

    def close(self, expires: int) -> Closed:
        return Closed(self.layout, list(map(bytes, self.buckets)), self.count, expires)


class Dedup:
    """The table. `accepted` counts every id ever accepted."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.accepted = 0
        self._current = _Current(_layout_for(window))
        self._closed: list[Closed] = []
        self._measured = (-1, 0)  # (ids accepted, bytes) when memory was last measured

    def find(self, id: bytes) -> bytes | None:
        """The fingerprint held for this id hash, or None."""
        current = self._current
        if current.buckets:  # not `count`: it lags behind within `admit`
            bucket, tail = current.layout.columns.unpack(id)
            found = current.layout.find(current.buckets[bucket], tail)
            if found is not None:
                return found
        for closed in self._closed:
            bucket, tail = closed.layout.columns.unpack(id)
            found = closed.layout.find(closed.buckets[bucket], tail)
            if found is not None:
                return found
        return None

    def add(self, id: bytes, fingerprint: bytes) -> None:
        """Accept an id that `find` does not know."""
        self._insert(id, fingerprint)
        self._turn()

    def admit(
        self,
        ids: bytes,
        picks: Sequence[int],
        fingerprints: list[bytes],
        sure: list[bytes | None],
        decide: Callable[[int], int],
    ) -> tuple[bytearray, list[int]]:
        """Decide a column of votes in order: an outcome for each, and the indexes of those not simply accepted.

        `picks` says which choice a vote is for. A new id is accepted if its choice is sure (has its fingerprint in
        `sure`), else `decide(choice)` says its outcome. This is the hottest loop of Quorate: half a microsecond a vote.
        """
        outcomes, apart = bytearray(len(picks)), list[int]()
        start = 0
        while start < len(picks):
            stop = min(len(picks), start + self._room())
            before = len(apart)
            self._admit(ids, picks, fingerprints, sure, decide, range(start, stop), outcomes, apart)
            simple = stop - start - (len(apart) - before)
            self._current.count += simple
            self.accepted += simple
            self._turn()
            start = stop
        return outcomes, apart

    def _admit(
        self,
        ids: bytes,
        picks: Sequence[int],
        fingerprints: list[bytes],
        sure: list[bytes | None],
        decide: Callable[[int], int],
        votes: range,
        outcomes: bytearray,
        apart: list[int],
    ) -> None:
        """Like `admit`, for votes that surely neither fill the current generation nor outlive a closed one."""
        current, older = self._current, self._older()
        if older is None:
            sure, older = [None] * len(sure), current.layout.nothing
        buckets = current.make()
        columns = current.layout.columns.iter_unpack(ids[8 * votes.start : 8 * votes.stop])
        stamps = map(sure.__getitem__, picks[votes.start : votes.stop])
        for vote, (bucket, tail), stamp in zip(votes, columns, stamps, strict=True):
            records = buckets[bucket]
            # `in` may be fooled by bytes of two neighbours; then the careful way below finds nothing and accepts.
            if stamp is None or tail in records or tail in older[bucket]:
                apart.append(vote)
                pick = picks[vote]
                outcomes[vote] = self._decide(ids[8 * vote : 8 * vote + 8], pick, fingerprints[pick], decide)
            else:
                records += tail + stamp

    def _decide(self, id: bytes, pick: int, fingerprint: bytes, decide: Callable[[int], int]) -> int:
        found = self.find(id)
        if found is not None:
            return _DUPLICATE if found == fingerprint else _CONFLICT
        outcome = decide(pick)
        if outcome == _APPLIED:
            self._insert(id, fingerprint)
        return outcome

    def _insert(self, id: bytes, fingerprint: bytes) -> None:
        bucket, tail = self._current.layout.columns.unpack(id)
        self._current.make()[bucket] += tail + fingerprint
        self._current.count += 1
        self.accepted += 1

    # ---- generations ------------------------------------------------------------------------------------------------

    def _older(self) -> Sequence[bytes] | None:
        """The buckets beside the current ones in the ordinary case; None while a change of the window lingers."""
        if not self._closed:
            return self._current.layout.nothing
        if len(self._closed) == 1 and self._closed[0].layout is self._current.layout:
            return self._closed[0].buckets
        return None

    def _room(self) -> int:
        """How many ids can be accepted before a generation closes or is forgotten; at least one."""
        room = self.window - self._current.count
        for closed in self._closed:
            room = min(room, closed.expires - self.accepted)
        return room

    def _turn(self) -> None:
        """Forget what has expired, close what is full."""
        if any(closed.expires <= self.accepted for closed in self._closed):
            self._closed = [closed for closed in self._closed if closed.expires > self.accepted]
        if self._current.count >= self.window:
            self._close_current(self.window)

    def _close_current(self, promised: int) -> None:
        if self._current.count:
            self._closed.append(self._current.close(self.accepted + promised))
        self._current = _Current(_layout_for(self.window))

    def set_window(self, window: int) -> str | None:
        """Change N; None, or why it is refused. An id keeps at least the promise it was accepted under.

        Growing: all that is held now is held for the next (new) N ids. Shrinking: what is held now keeps the old N.
        Until the old generations are forgotten, look-ups are two to three times slower.
        """
        if not 1 <= window <= WINDOW_MAX:
            return f"a dedup window is 1 to {WINDOW_MAX:,} ids, not {window:,}"
        if window == self.window:
            return None
        if self._current.count and len(self._closed) >= CLOSED_MAX:
            wait = min(closed.expires for closed in self._closed) - self.accepted
            return f"the dedup window was changed too often lately; try again {wait:,} accepted ids later"
        promised, self.window = max(window, self.window), window
        self._close_current(promised)
        for closed in self._closed:
            closed.expires = max(closed.expires, self.accepted + window)
        return None

    def view(self) -> DedupView:
        held = self._current.count + sum(closed.count for closed in self._closed)
        return DedupView(self.window, self._current.count, held, self._memory_bytes())

    def _memory_bytes(self) -> int:
        """Measuring visits every bucket (10 ms at a million ids), so it is done again only when enough has changed."""
        at, memory_bytes = self._measured
        if at < 0 or abs(self.accepted - at) > self.window // 64:
            buckets = self._current.buckets
            memory_bytes = sys.getsizeof(buckets) + sum(map(sys.getsizeof, buckets))
            memory_bytes += sum(closed.memory_bytes for closed in self._closed)
            self._measured = (self.accepted, memory_bytes)
        return memory_bytes

    # ---- snapshots --------------------------------------------------------------------------------------------------

    def freeze(self) -> list[Closed]:
        """Every generation, the current one (copied) first; `restore` takes the same."""
        return [self._current.close(0), *(Closed(c.layout, c.buckets, c.count, c.expires) for c in self._closed)]

    @classmethod
    def restore(cls, window: int, accepted: int, generations: list[Closed]) -> Dedup:
        dedup = cls(window)
        dedup.accepted = accepted
        current, *dedup._closed = generations
        dedup._current = _Current(current.layout, list(map(bytearray, current.buckets)), current.count)
        return dedup


def pack(generation: Closed) -> tuple[bytes, bytes]:
    """(every bucket's length as uint32, the buckets one after the other)."""
    return array("I", map(len, generation.buckets)).tobytes(), b"".join(generation.buckets)


def unpack(head_bytes: int, lengths: bytes, records: bytes, count: int, expires: int) -> Closed:
    """The generation that `pack` took apart; raises ValueError or KeyError if the parts do not fit together."""
    layout = _LAYOUTS[head_bytes]
    sizes = array("I")
    sizes.frombytes(lengths)
    if sum(sizes) != len(records) or len(records) != count * layout.record_bytes:
        raise ValueError("the ids do not add up")
    if len(sizes) not in (0, layout.buckets) or any(size % layout.record_bytes for size in sizes):
        raise ValueError("the ids' buckets do not add up")
    buckets = [records[start:stop] for start, stop in pairwise(accumulate(sizes, initial=0))]
    return Closed(layout, buckets, count, expires)
