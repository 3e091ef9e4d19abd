"""Tallies of very many options: made in turn with other big work, and one for all who ask meanwhile.

Whoever asks before a tally of that poll is begun is given that one; so its votes are those of a moment after the
question, and a hundred readers cost one tally and not a hundred. It is kept for those who ask later
(`kept_tallies.py`), until the poll changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from quorate.cluster.fsm import PollView
from quorate.cluster.read import chunks
from quorate.cluster.read.kept_tallies import KeptTallies
from quorate.cluster.read.shared_results import SharedResults
from quorate.cluster.replica import Replica
from quorate.errors import Overloaded
from quorate.turns import Turns

WAITING_MAX = 100  # tallies, each of another poll


@dataclass(frozen=True, slots=True)
class BigTally:
    """A poll's results at one version. At `copied_s` they were at most `age_ms` old."""

    poll: PollView
    results: SharedResults
    version: int
    age_ms: int
    copied_s: float


@dataclass(slots=True)
class _NextTally:
    """A tally that is not begun."""

    made: asyncio.Task[BigTally]
    readers: int = field(default=0)


class BigTallies:
    """Used on the node's loop."""

    def __init__(
        self,
        replica: Replica,
        kept: KeptTallies,
        turns: Turns,
        age_ms: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._replica, self._kept, self._turns = replica, kept, turns
        self._age_ms, self._clock = age_ms, clock
        self._wanted: dict[str, _NextTally] = {}

    async def of(self, find: Callable[[], PollView]) -> BigTally:
        """`find` gives the poll, or raises if it is not there any more. Raises `Overloaded`, too."""
        poll = find()
        if (results := self._kept.of(poll)) is not None:
            return BigTally(poll, results, self._replica.state.version, self._age_ms(), self._clock())
        poll_id = poll.id
        wanted = self._wanted.get(poll_id)
        if wanted is None:
            if len(self._wanted) >= WAITING_MAX:
                raise Overloaded("too many tallies of very many options are asked of this node; try again in a moment")
            wanted = self._wanted[poll_id] = _NextTally(asyncio.ensure_future(self._make(poll_id, find)))
        wanted.readers += 1
        try:
            return await asyncio.shield(wanted.made)
        finally:
            wanted.readers -= 1
            if not wanted.readers and self._wanted.get(poll_id) is wanted:
                del self._wanted[poll_id]
                wanted.made.cancel()

    async def _make(self, poll_id: str, find: Callable[[], PollView]) -> BigTally:
        async with self._turns:
            self._wanted.pop(poll_id, None)
            poll, version, age_ms, copied_s = find(), self._replica.state.version, self._age_ms(), self._clock()
            kept = self._kept.begin(poll)
            before = () if kept.results is None else kept.results.parts
            parts = await chunks.parts_of(self._replica.state, poll, before, self._turns.rest)
            return BigTally(poll, self._kept.keep(kept, SharedResults(parts)), version, age_ms, copied_s)
