"""Which vote ids were accepted lately, and for which choice. This makes it safe to send a vote again.

The table holds for each id its keyed 64-bit hash and the 32-bit fingerprint of the choice. An id is protected for at
least the next N accepted ids, whatever time that takes. N is the window, set by a command of the log. Two generations
do this: when the current generation holds N ids, it is closed and a new one begins. A closed generation is forgotten N
accepted ids later. So the table holds N to 2N ids.

How likely errors are. A new id has the hash of one of H held ids with probability H / 2^64: with two million held ids,
once in 9e12 votes. The key of the hash is secret, so nobody can prepare a clash. A clash is answered CONFLICT, which
the voter sees, unless both votes are for the same choice: then it is answered DUPLICATE, and one vote is missing. A
resend with another choice is taken for the same vote if the two fingerprints are equal: once in 4e9 such resends.

The table is a list of buckets, and the first bytes of the hash say in which bucket an id is. A bucket is an immutable
`bytes` of records: the rest of the hash, then the fingerprint, with the oldest generation first. A new record makes a
new bucket. That is as fast as changing a bucket in place, it takes the fewest bytes (11 an id), and a snapshot copies
the list of buckets and nothing else.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from itertools import accumulate, pairwise, repeat
from operator import itemgetter, length_hint, sub
from struct import Struct

from quorate.vote import Outcome
from quorate.words import count

WINDOW_MAX = 8_000_000  # about 180 MB. With longer buckets a look-up takes over a microsecond
SMALL_WINDOW_MAX = 16_384  # up to here 256 buckets are enough: 65,536 nearly empty ones take 4 MB
CLOSED_MAX = 4  # besides the current generation; there is more than one only after the window was changed
ID_BYTES = 8  # of an id's hash
FINGERPRINT_BYTES = 4

AT_ONCE = 250  # votes; their buckets fit into the processor's caches
FETCHED = 8  # ids; of fewer the buckets are not worth a round of their own

APPLIED, DUPLICATE, CONFLICT = int(Outcome.APPLIED), int(Outcome.DUPLICATE), int(Outcome.CONFLICT)


@dataclass(frozen=True, slots=True)
class DedupView:
    window: int  # N
    accepted: int  # ids in the current generation; at N it is closed
    held: int  # ids in all generations together
    memory_bytes: int  # of the whole table, measured by sys.getsizeof
    shares: dict[int, int] = field(default_factory=dict)  # of all shares that were used: how many ids each holds


@dataclass(frozen=True, slots=True)
class ClosedGeneration:
    """A generation that takes no more ids. In each bucket its records end at `ends`, and begin where the generation
    before it ends."""

    count: int
    expires: int  # it is forgotten when the number of ids ever accepted reaches this
    ends: array[int]  # a uint32 for each bucket


@dataclass(frozen=True, slots=True)
class FrozenDedup:
    """Everything that the table holds at one moment."""

    window: int
    accepted: int
    count: int  # ids in the current generation
    head_bytes: int
    closed: Sequence[ClosedGeneration]
    buckets: Sequence[bytes]


class _Layout:
    """How a hash of 8 bytes is split: the first bytes give the bucket, and the others are in its records."""

    def __init__(self, head_bytes: int, columns: str) -> None:
        self.head_bytes = head_bytes
        self.tail_bytes = 8 - head_bytes
        self.record_bytes = self.tail_bytes + FINGERPRINT_BYTES
        self.buckets = 256**head_bytes
        self.columns = Struct(columns)

    def find(self, bucket: bytes, tail: bytes) -> bytes | None:
        at = bucket.find(tail)
        while at >= 0:
            if at % self.record_bytes == 0:
                return bucket[at + self.tail_bytes : at + self.record_bytes]
            at = bucket.find(tail, at + 1)  # these were bytes of two records side by side
        return None

    def records(self, bucket: int, content: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(hash, fingerprint) of each record in a bucket's content."""
        head = bucket.to_bytes(self.head_bytes, "little")
        for at in range(0, len(content), self.record_bytes):
            yield head + content[at : at + self.tail_bytes], content[at + self.tail_bytes : at + self.record_bytes]


_SMALL, _LARGE = _Layout(1, "<B7s"), _Layout(2, "<H6s")


class Dedup:
    """The table. `accepted` is the number of all ids ever accepted."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.accepted = 0
        self._count = 0  # ids in the current generation
        self._closed: list[ClosedGeneration] = []  # oldest first
        self._layout = _SMALL if window <= SMALL_WINDOW_MAX else _LARGE
        self._buckets = [b""] * self._layout.buckets
        self._measured = (-1, 0)  # (ids accepted, bytes) when memory was last measured

    @property
    def held(self) -> int:
        return self._count + sum(closed.count for closed in self._closed)

    def find(self, id: bytes) -> bytes | None:
        """The fingerprint held for this id hash, or None."""
        bucket, tail = self._layout.columns.unpack(id)
        return self._layout.find(self._buckets[bucket], tail)

    def known(self, ids: bytes) -> dict[int, bytes]:
        """Of a column of id hashes: the places of those that are held, and the fingerprints held for them."""
        buckets, find = self._buckets, self._layout.find
        columns = self._layout.columns.iter_unpack(ids)
        near = [(place, bucket, tail) for place, (bucket, tail) in enumerate(columns) if tail in buckets[bucket]]
        found = ((place, find(buckets[bucket], tail)) for place, bucket, tail in near)
        return {place: fingerprint for place, fingerprint in found if fingerprint is not None}

    def add(self, id: bytes, fingerprint: bytes) -> None:
        """Accept an id that `find` does not know."""
        self._insert(id, fingerprint)
        self._turn()

    def accept(
        self,
        ids: bytes,
        picks: Sequence[int],
        fingerprints: Sequence[bytes],
        sure: Sequence[bytes | None],
        decide: Callable[[int], int],
    ) -> tuple[bytearray, list[int]]:
        """Decide a column of votes in order. Returns an outcome for each vote, and the indexes of those that were not
        simply accepted.

        `picks` has the choice of each vote. `sure` has the fingerprint of a choice whose votes count for certain, and
        None for another choice. The new id of a vote for a sure choice is accepted. For another choice,
        `decide(choice)` gives the outcome. This is the hottest loop of Quorate: half a microsecond a vote.
        """
        outcomes, apart, start = bytearray(len(picks)), list[int](), 0
        stamps = repeat(sure[0]) if len(sure) == 1 else map(sure.__getitem__, picks)
        while start < len(picks):
            before, stop = len(apart), min(len(picks), start + AT_ONCE, start + self._room())
            column, buckets = ids[ID_BYTES * start : ID_BYTES * stop], self._buckets
            if stop - start >= FETCHED:
                self._fetch(column)
            ids_left = self._layout.columns.iter_unpack(column)
            for (bucket, tail), stamp in zip(ids_left, stamps, strict=False):  # the stamps go on
                records = buckets[bucket]
                if stamp is not None and not records.rpartition(tail)[1]:  # `find` takes longer to call
                    buckets[bucket] = records + (tail + stamp)
                else:  # a known id, a choice that is not sure, or bytes of two records side by side
                    vote = stop - length_hint(ids_left) - 1
                    apart.append(vote)
                    pick = picks[vote]
                    outcomes[vote] = self._decide(
                        ids[ID_BYTES * vote : ID_BYTES * (vote + 1)], pick, fingerprints[pick], decide
                    )
            self._accepted(stop - start - (len(apart) - before))
            self._turn()
            start = stop
        return outcomes, apart

    def _fetch(self, ids: bytes) -> None:
        """Read the buckets of these ids. The processor fetches many from memory at a time here, where a loop that works
        on each would wait for one after the other: a quarter of its time, in a table of two million ids."""
        if self._layout is _LARGE:
            b"".join(itemgetter(*array("H", ids)[:: ID_BYTES // 2])(self._buckets))

    def _decide(self, id: bytes, pick: int, fingerprint: bytes, decide: Callable[[int], int]) -> int:
        found = self.find(id)
        if found is not None:
            return DUPLICATE if found == fingerprint else CONFLICT
        outcome = decide(pick)
        if outcome == APPLIED:
            self._insert(id, fingerprint)
        return outcome

    def _insert(self, id: bytes, fingerprint: bytes) -> None:
        bucket, tail = self._layout.columns.unpack(id)
        self._buckets[bucket] += tail + fingerprint
        self._accepted(1)

    def _accepted(self, ids: int) -> None:
        self._count += ids
        self.accepted += ids

    # ---- generations ------------------------------------------------------------------------------------------------

    def _room(self) -> int:
        """How many ids can be accepted before a generation has to be closed or forgotten; at least one."""
        return min(self.window - self._count, *(closed.expires - self.accepted for closed in self._closed), sys.maxsize)

    def _turn(self) -> None:
        """Forget generations that have expired, and close the current one if it is full.

        With a million ids held this takes 20 ms, once in N accepted ids.
        """
        for at in reversed(range(len(self._closed))):
            if self._closed[at].expires <= self.accepted:
                self._forget(at)
        if self._count >= self.window:
            self._close(self.window)

    def _close(self, promised: int) -> None:
        if self._count:
            self._closed.append(
                ClosedGeneration(self._count, self.accepted + promised, array("I", map(len, self._buckets)))
            )
        self._count = 0

    def _forget(self, at: int) -> None:
        closed = self._closed[at]
        starts = self._closed[at - 1].ends if at else array("I", bytes(4 * len(closed.ends)))
        self._buckets = [
            bucket[:start] + bucket[end:] if start else bucket[end:]
            for bucket, start, end in zip(self._buckets, starts, closed.ends, strict=True)
        ]
        sizes = array("I", map(sub, closed.ends, starts))
        later = [
            ClosedGeneration(c.count, c.expires, array("I", map(sub, c.ends, sizes))) for c in self._closed[at + 1 :]
        ]
        self._closed[at:] = later

    def set_window(self, window: int) -> str | None:
        """Change N. Returns None, or why the change is refused.

        An id keeps at least the protection that it was accepted with. When N grows, every id that is held now is
        protected for the next N ids (the new N). When N shrinks, the ids that are held now keep the old N.
        """
        if not 1 <= window <= WINDOW_MAX:
            return f"a dedup window is 1 to {WINDOW_MAX:,} ids, not {window:,}"
        if window == self.window:
            return None
        if self._count and len(self._closed) >= CLOSED_MAX:
            wait = min(closed.expires for closed in self._closed) - self.accepted
            return f"the dedup window was changed too often lately; try again after {count(wait, 'more accepted id')}"
        self._close(max(window, self.window))
        expires = self.accepted + window
        self._closed = [ClosedGeneration(c.count, max(c.expires, expires), c.ends) for c in self._closed]
        self.window = window
        self._fit_layout()
        return None

    def _fit_layout(self) -> None:
        """Use more buckets for a larger window. Fewer are used only while nothing is held: to move a million ids would
        take a second."""
        layout = _SMALL if self.window <= SMALL_WINDOW_MAX else _LARGE
        if layout is self._layout or (layout is _SMALL and self._closed):
            return
        before, self._layout = self._layout, layout
        old, self._buckets = self._buckets, [b""] * layout.buckets
        starts: Sequence[int] = [0] * len(old)
        for at, closed in enumerate(self._closed):
            for bucket, (content, start, end) in enumerate(zip(old, starts, closed.ends, strict=True)):
                for id, fingerprint in before.records(bucket, content[start:end]):
                    place, tail = layout.columns.unpack(id)
                    self._buckets[place] += tail + fingerprint
            starts = closed.ends
            self._closed[at] = ClosedGeneration(closed.count, closed.expires, array("I", map(len, self._buckets)))

    def view(self) -> DedupView:
        return DedupView(self.window, self._count, self.held, self._memory_bytes())

    def _memory_bytes(self) -> int:
        """Measure the table again if enough has changed. With a million ids this takes 10 ms."""
        at, memory_bytes = self._measured
        if at < 0 or abs(self.accepted - at) > self.window // 64:
            columns = [closed.ends for closed in self._closed]
            memory_bytes = sum(map(sys.getsizeof, [self._buckets, *self._buckets, *columns]))
            self._measured = (self.accepted, memory_bytes)
        return memory_bytes

    # ---- snapshots --------------------------------------------------------------------------------------------------

    def freeze(self) -> FrozenDedup:
        return FrozenDedup(
            self.window, self.accepted, self._count, self._layout.head_bytes, self._closed.copy(), self._buckets.copy()
        )

    @classmethod
    def restore(cls, frozen: FrozenDedup) -> Dedup:
        """The table that `frozen` was made of. Raises ValueError if its parts do not fit together."""
        dedup = cls(frozen.window)
        dedup.accepted, dedup._count = frozen.accepted, frozen.count
        dedup._layout = _SMALL if frozen.head_bytes == _SMALL.head_bytes else _LARGE
        dedup._closed, dedup._buckets = list(frozen.closed), list(frozen.buckets)
        columns: list[Sized] = [*(closed.ends for closed in dedup._closed), dedup._buckets]
        if any(len(column) != dedup._layout.buckets for column in columns):
            raise ValueError("the ids' buckets do not add up")
        if sum(map(len, dedup._buckets)) != dedup.held * dedup._layout.record_bytes:
            raise ValueError("the ids do not add up")
        return dedup


def pack(buckets: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Two columns: the length of every bucket as uint32, and the buckets one after the other."""
    return array("I", map(len, buckets)).tobytes(), b"".join(buckets)


def unpack(lengths: bytes, records: bytes) -> list[bytes]:
    sizes = array("I", lengths)
    if sum(sizes) != len(records):
        raise ValueError("the ids' buckets do not add up")
    return [records[start:stop] for start, stop in pairwise(accumulate(sizes, initial=0))]
