"""Encoded batches that wait to leave, and which of them leave together: light ones do not wait for bulk ones.

What the leader proposes after a bulk batch is applied after it, and that takes every node some milliseconds. Bulk
batches may come by the hundred, from clients that send thousands of votes a request. So where both kinds wait, each has
one of the two places. While very light ones come, of a few votes each, bulk entries are smaller, one is under way at a
time, and when it has ended the next one waits for three times as long as it took, or longer after a request that made
a very big one. Without them bulk leaves as it comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import msgspec

from quorate.cluster.entry import Result
from quorate.cluster.submit.batch import Batch
from quorate.cluster.submit.open_batches import LIGHT_BYTES, OpenBatches
from quorate.cluster.submit.returning import CLOCK_S, Returning
from quorate.tracing import RequestTrace

BULK_BYTES = 16 * 1024  # a batch of more is bulk, unless it is the light requests of many clients
GIVING_WAY_BYTES = 64 * 1024  # of a bulk entry while it gives way: some thousand votes
GIVES_WAY_S = 0.1  # so long after a very light batch left
GATHER_S = 0.012  # light batches, from when the last ones left: more than an entry takes, unless the disk is slow
REST, REST_MAX_S = 3.0, 0.25  # times as long as the bulk entry took; more where a single request made it bigger


class LeaderStep(msgspec.Struct, array_like=True):
    name: str
    began_us: int
    ended_us: int


class BatchAnswer(msgspec.Struct, array_like=True):
    """Between nodes: what applying a forwarded batch gave."""

    version: int
    results: list[Result]


class TracedBatchAnswer(BatchAnswer):
    """The same from a leader that traces: what it did, and when, from its coming on. Older nodes pass over that."""

    steps: list[LeaderStep] = []


@dataclass(slots=True, eq=False)
class PendingBatch:
    """An encoded batch that is waiting or was sent, and the future that tells its requests."""

    encoded: bytes
    deadline_s: float
    answer: asyncio.Future[BatchAnswer]
    ours: bool = True  # its requests came to this node; False: a follower forwarded it to us
    clients: int = 0  # that wait for it at this node
    is_light: bool = False  # it has light requests alone
    attempt: asyncio.Future[bytes] | None = None  # the call to a leader that it was forwarded by; None: not forwarded
    traces: Sequence[RequestTrace] = ()  # of its requests, those that are traced

    @classmethod
    def of(cls, batch: Batch, answer: asyncio.Future[BatchAnswer]) -> PendingBatch:
        """A batch that nobody joins any more."""
        return cls(
            batch.encode(),
            batch.deadline_s,
            answer,
            clients=batch.clients,
            is_light=batch.is_light,
            traces=batch.traces,
        )

    @property
    def is_bulk(self) -> bool:
        return not self.is_light and len(self.encoded) > BULK_BYTES

    def resolve(self, answer: BatchAnswer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


_encoded_of, _clients_of, _is_ours = map(attrgetter, ("encoded", "clients", "ours"))


class Departures:
    """Used on one loop, whose time `now_s` is."""

    def __init__(self, now_s: Callable[[], float], light_votes_come: Callable[[], bool]) -> None:
        self._now_s, self._light_votes_come = now_s, light_votes_come
        self._light: deque[PendingBatch] = deque()
        self._bulk: deque[PendingBatch] = deque()
        self._light_under_way: dict[PendingBatch, float] = {}  # the first batch of each group, and since when
        self._bulk_under_way: dict[PendingBatch, float] = {}
        self._returning = Returning()
        self._rests_until_s = 0.0
        self._gives_way_until_s = float("-inf")

    def __len__(self) -> int:
        return len(self._light) + len(self._bulk)

    @property
    def has_bulk(self) -> bool:
        return bool(self._bulk)

    def add(self, batch: PendingBatch) -> None:
        self._waiting(batch).append(batch)

    def put_back(self, batch: PendingBatch) -> None:
        """It is the next of its kind again."""
        self._waiting(batch).appendleft(batch)

    def _waiting(self, batch: PendingBatch) -> deque[PendingBatch]:
        return self._bulk if batch.is_bulk else self._light

    def remove(self, is_meant: Callable[[PendingBatch], bool]) -> list[PendingBatch]:
        removed = [batch for batch in (*self._light, *self._bulk) if is_meant(batch)]
        if removed:
            self._light = deque(batch for batch in self._light if not is_meant(batch))
            self._bulk = deque(batch for batch in self._bulk if not is_meant(batch))
        return removed

    def gather_s(self) -> float:
        """How many seconds light batches, if there are no others, have to wait because of those that are under way; 0:
        they may leave."""
        if not self._light_under_way or self._bulk or self._bulk_under_way:
            return 0.0
        left_s = next(reversed(self._light_under_way.values())) + GATHER_S - self._now_s()
        return left_s if left_s >= CLOCK_S else 0.0

    def wait_s(self, still_open: OpenBatches) -> float:
        """The same, where nothing is under way, because of those that were answered."""
        if self._bulk or not self._returning.expected:
            return 0.0
        return self._returning.wait_s(still_open.clients, len(self._light), self._now_s())

    # ---- leaving ----------------------------------------------------------------------------------------------------

    def take(self, bytes_max: int) -> list[PendingBatch]:
        """What leaves together now: one batch, or several up to so many bytes. Empty if none may leave yet.

        `ended` tells when they are not under way any more.
        """
        now_s = self._now_s()
        gives_way = now_s < self._gives_way_until_s
        if self._light and not (self._bulk and self._is_turn_of_bulk(now_s, gives_way)):
            group = _group(self._light, bytes_max)
            if min(map(len, map(_encoded_of, group))) <= LIGHT_BYTES:
                self._gives_way_until_s = now_s + GIVES_WAY_S
            self._light_under_way[group[0]] = now_s
        elif self._bulk_may_leave(now_s, gives_way):
            is_small = gives_way or self._light_votes_come()
            group = _group(self._bulk, min(bytes_max, GIVING_WAY_BYTES) if is_small else bytes_max)
            self._bulk_under_way[group[0]] = now_s
        else:
            group = []
        return group

    def _is_turn_of_bulk(self, now_s: float, gives_way: bool) -> bool:
        """While light ones wait as well."""
        return len(self._bulk_under_way) < len(self._light_under_way) and self._bulk_may_leave(now_s, gives_way)

    def _bulk_may_leave(self, now_s: float, gives_way: bool) -> bool:
        if not self._bulk or not gives_way:
            return bool(self._bulk)
        return not self._bulk_under_way and now_s >= self._rests_until_s

    def ended(self, group: list[PendingBatch], still_open: OpenBatches) -> float:
        """Returns how long the bulk batches that wait, or come now, should rest from now on, in seconds."""
        now_s = self._now_s()
        began_s = self._light_under_way.pop(group[0], None)
        if began_s is not None:
            clients, batches = sum(map(_clients_of, group)), len(group) - sum(map(_is_ours, group))
            there = still_open.clients, len(self._light)
            self._returning.answered(clients, batches, now_s, now_s - began_s, there)
            return 0.0
        began_s = self._bulk_under_way.pop(group[0], None)
        if began_s is None:
            return 0.0
        size = sum(len(batch.encoded) for batch in group)
        rest_s = min(REST * max(1.0, size / GIVING_WAY_BYTES) * (now_s - began_s), REST_MAX_S)
        self._rests_until_s = now_s + rest_s
        return rest_s if now_s < self._gives_way_until_s else 0.0

    def forget_under_way(self) -> None:
        """They may stay open for as long as this node is cut off."""
        self._light_under_way.clear()
        self._bulk_under_way.clear()


def _group(waiting: deque[PendingBatch], bytes_max: int) -> list[PendingBatch]:
    """At least one."""
    group = [waiting.popleft()]
    size = len(group[0].encoded)
    while waiting and size + len(waiting[0].encoded) <= bytes_max:
        group.append(waiting.popleft())
        size += len(group[-1].encoded)
    return group
