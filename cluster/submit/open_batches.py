"""Batches that requests may still join, oldest first: light requests join light ones, and all others bulk ones.

A light request is a few votes. It must not wait in one batch with thousands of votes of others: these are applied in
one go, and may have to let others pass (`departures.py`).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from operator import attrgetter

from quorate.cluster.submit.batch import Batch

BATCH_BYTES = 256 * 1024  # a batch of this size leaves alone; only a single request can make a bigger one
LIGHT_BYTES = 4 * 1024  # of a request: some fifty votes
DEADLINES_APART_S = 1.0  # between the requests of a batch: the whole batch is refused at the earliest deadline


_clients_of = attrgetter("clients")


class OpenBatches:
    def __init__(self) -> None:
        self._light: deque[Batch] = deque()
        self._bulk: deque[Batch] = deque()

    def __len__(self) -> int:
        return len(self._light) + len(self._bulk)

    @property
    def clients(self) -> int:
        """How many wait for light ones."""
        return sum(map(_clients_of, self._light))

    @property
    def has_bulk(self) -> bool:
        return bool(self._bulk)

    def batch_for(self, size: int, deadline_s: float, knew: int, bulk_bytes: int = BATCH_BYTES) -> Batch:
        """The batch that a request of `size` bytes joins: one with room for it and a deadline near its own.

        A bulk one has room for `bulk_bytes` at the most.

        Patient and impatient requests (of NSQ and HTTP, say) may come in turn, so two batches of each kind are open for
        joining at a time.
        """
        batches, bytes_max = (self._light, BATCH_BYTES) if size <= LIGHT_BYTES else (self._bulk, bulk_bytes)
        for batch in itertools.islice(reversed(batches), 2):
            is_near = abs(batch.deadline_s - deadline_s) <= DEADLINES_APART_S
            if batch.size + size <= bytes_max and is_near and batch.knew == knew and not batch.is_alone:
                break
        else:
            batch = Batch(knew)
            batch.is_light = batches is self._light
            batches.append(batch)
        batch.size += size
        return batch

    def add_alone(self, batch: Batch) -> None:
        """It is full: nobody joins it."""
        batch.is_alone = True
        self._bulk.append(batch)

    def close(self, bulk: bool) -> list[Batch]:
        """What is closed now, because something may leave: all light ones, and with `bulk` one that is."""
        closed = list(self._light)
        self._light.clear()
        if bulk and self._bulk:
            closed.append(self._bulk.popleft())
        return closed

    def remove(self, is_meant: Callable[[Batch], bool]) -> list[Batch]:
        removed = [batch for batch in (*self._light, *self._bulk) if is_meant(batch)]
        for batch in removed:
            (self._light if batch in self._light else self._bulk).remove(batch)
        return removed
