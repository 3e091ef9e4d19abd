"""Encoded batches that wait to leave, and which of them leave together: heavy ones let light ones pass.

A heavy batch costs every node some ten milliseconds, and what the leader proposes after it is applied after it. So
while light ones come, which are a few votes each, one heavy batch is under way at a time, and when it has ended the
next one waits for twice as long as it took. The light ones have the other place meanwhile. Without them heavy batches
leave like all others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from quorate.cluster.entry import Result

HEAVY_BYTES = 64 * 1024  # thousands of votes
LIGHT_BYTES = 4 * 1024
LIGHT_S = 0.1  # so long after a light batch left, heavy ones still let others pass
REST, REST_MAX_S = 2.0, 0.25  # times as long as the heavy batch took


class BatchAnswer(msgspec.Struct, array_like=True):
    """Between nodes: what applying a forwarded batch gave."""

    version: int
    results: list[Result]


@dataclass(slots=True, eq=False)
class PendingBatch:
    """An encoded batch that is waiting or was sent, and the future that tells its requests."""

    encoded: bytes
    deadline_s: float
    answer: asyncio.Future[BatchAnswer]
    ours: bool = True  # its requests came to this node; False: a follower forwarded it to us
    attempt: asyncio.Future[bytes] | None = None  # the call to a leader that it was forwarded by; None: not forwarded

    @property
    def is_heavy(self) -> bool:
        return len(self.encoded) >= HEAVY_BYTES

    def resolve(self, answer: BatchAnswer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True)
class Departures:
    """Used on one loop, whose time `now_s` is."""

    now_s: Callable[[], float]
    _others: deque[PendingBatch] = field(default_factory=deque)
    _heavy: deque[PendingBatch] = field(default_factory=deque)
    _under_way: dict[int, float] = field(default_factory=dict)  # by identity of a group's first heavy one: since when
    _heavy_was_last: bool = False
    _rests_until_s: float = 0.0
    _light_s: float = float("-inf")  # when a light one left last

    def __len__(self) -> int:
        return len(self._others) + len(self._heavy)

    def add(self, batch: PendingBatch) -> None:
        (self._heavy if batch.is_heavy else self._others).append(batch)

    def put_back(self, batch: PendingBatch) -> None:
        """It is the next again."""
        (self._heavy if batch.is_heavy else self._others).appendleft(batch)

    def remove(self, is_meant: Callable[[PendingBatch], bool]) -> list[PendingBatch]:
        removed = [batch for batch in (*self._others, *self._heavy) if is_meant(batch)]
        if removed:
            self._others = deque(batch for batch in self._others if not is_meant(batch))
            self._heavy = deque(batch for batch in self._heavy if not is_meant(batch))
        return removed

    # ---- leaving ----------------------------------------------------------------------------------------------------

    def take(self, bytes_max: int) -> list[PendingBatch]:
        """What leaves together now: one batch, or several up to so many bytes. Empty if none may leave yet.

        `ended` tells when they are not under way any more.
        """
        now_s = self.now_s()
        gives_way = now_s - self._light_s < LIGHT_S
        heavy_may = bool(self._heavy) and (not gives_way or (not self._under_way and now_s >= self._rests_until_s))
        if self._others and (self._heavy_was_last or not heavy_may):
            group = _group(self._others, bytes_max)
            if sum(len(batch.encoded) for batch in group) <= LIGHT_BYTES:
                self._light_s = now_s
            self._heavy_was_last = False
        elif heavy_may:
            group = _group(self._heavy, 0 if gives_way else bytes_max)
            self._under_way[id(group[0])] = now_s
            self._heavy_was_last = True
        else:
            group = []
        return group

    def ended(self, group: list[PendingBatch]) -> float:
        """Returns how long the heavy ones that wait should rest from now on, in seconds."""
        began_s = self._under_way.pop(id(group[0]), None)
        if began_s is None:
            return 0.0
        now_s = self.now_s()
        self._rests_until_s = now_s + min(REST * (now_s - began_s), REST_MAX_S)
        return self._rests_until_s - now_s if self._heavy else 0.0

    def forget_under_way(self) -> None:
        """They may stay open for as long as this node is cut off."""
        self._under_way.clear()


def _group(waiting: deque[PendingBatch], bytes_max: int) -> list[PendingBatch]:
    """At least one."""
    group = [waiting.popleft()]
    size = len(group[0].encoded)
    while waiting and size + len(waiting[0].encoded) <= bytes_max:
        group.append(waiting.popleft())
        size += len(group[-1].encoded)
    return group
