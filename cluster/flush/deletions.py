"""When the cluster may forget that a poll was deleted: as soon as every sink has marked its document.

A document that is not marked would be taken for a new poll when its tombstone is gone. So each leadership has every
sink mark all tombstones (`leadership.py`), and when all have, and a tombstone is old enough, the leader proposes to
forget it. What an earlier leadership had marked does not count: the sink may have been put back from an older copy. A
sink that takes no polls in is not asked. Without any sink, age alone decides.

On the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from quorate.cluster import entry
from quorate.cluster.entry import ForgetTombstones
from quorate.cluster.fsm import Applied, Tombstone
from quorate.cluster.replica import Replica

CHECK_EVERY_S = 1.0
FORGOTTEN_AT_ONCE = 1_000
LOOKED_AT = 5_000  # at most, of the oldest ones: sinks mark these first


class Deletions:
    """Made on the loop, one for all sinks of a node. `sinks` are the names of those that mark."""

    def __init__(self, replica: Replica, sinks: Sequence[str]) -> None:
        self._replica = replica
        self._marked: dict[str, dict[str, int]] = {sink: {} for sink in sinks}  # sink -> poll id -> creation
        self._terms = dict.fromkeys(sinks, 0)  # in which they were marked
        self._checked_s = 0.0  # on the loop's clock
        self._proposal: asyncio.Future[Applied] | None = None

    def start(self) -> None:
        self._replica.on_applied(lambda applied: self._check())

    def begin(self, sink: str) -> Sequence[Tombstone]:
        """A leadership begins, or the sink may have lost its marks: all that it has to mark."""
        self._marked[sink], self._terms[sink] = {}, self._replica.term
        return self._replica.state.tombstones()

    def marked(self, sink: str, polls: Mapping[str, int]) -> None:
        self._marked[sink].update(polls)
        self._check()

    def _check(self) -> None:
        """Entries come often, and a quiet cluster has no need to forget."""
        loop = asyncio.get_running_loop()
        waits = self._proposal is not None or loop.time() - self._checked_s < CHECK_EVERY_S
        if waits or not self._replica.is_leader:
            return
        self._checked_s = loop.time()
        due = [(stone.id, stone.creation) for stone in self._old_enough() if self._is_marked_everywhere(stone)]
        if due:
            loop.call_soon(self._propose, due[:FORGOTTEN_AT_ONCE])  # an entry is being applied at this moment

    def _propose(self, due: list[tuple[str, int]]) -> None:
        if self._proposal is None and self._replica.is_leader:
            batch = entry.encode_batch([ForgetTombstones(due)])
            self._proposal = self._replica.propose(entry.encode_entry(self._replica.now_ms(), [batch]))
            self._proposal.add_done_callback(self._done)

    def _old_enough(self) -> Iterable[Tombstone]:
        """The oldest ones, up to the first that is not."""
        for stone in islice(self._replica.state.tombstones(), LOOKED_AT):
            if not self._replica.state.may_forget(stone):
                return
            yield stone

    def _is_marked_everywhere(self, stone: Tombstone) -> bool:
        term = self._replica.term
        return all(
            self._terms[sink] == term and marked.get(stone.id, -1) >= stone.creation
            for sink, marked in self._marked.items()
        )

    def _done(self, proposal: asyncio.Future[Applied]) -> None:
        self._proposal = None
        if not proposal.cancelled():
            proposal.exception()  # if it was lost, it is proposed again
