"""The tallies that were read last, kept until their polls change: made and encoded once a change, not once a reader.

A vote for one poll leaves the tallies of others as they are, and a read says at which version it is. So a tally that is
kept is that of the present version, until an entry is applied that changes it. What is kept is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from quorate.cluster.fsm import Applied, PollView
from quorate.cluster.read import chunks
from quorate.cluster.replica import Replica
from quorate.turns import Turns

POLLS_MAX, OPTIONS_MAX = 16, 100_000  # of the polls together; the last one that is kept may have so many alone

_encode = msgspec.json.Encoder().encode

Pieces = Callable[["SharedResults"], Iterable[bytes]]


class SharedResults(dict[str, int]):
    """Shared by readers, so nobody changes it. Each form of it is made when the first reader needs it."""

    @cached_property
    def total(self) -> int:
        return sum(self.values())

    @cached_property
    def json(self) -> bytes:
        return _encode(self)

    @cached_property
    def _forms(self) -> dict[Pieces, asyncio.Task[bytes]]:
        return {}

    async def form(self, pieces: Pieces, turns: Turns) -> bytes:
        """All pieces in one, an option each. Others have their turn while it is made."""
        made = self._forms.get(pieces)
        if made is None:
            made = self._forms[pieces] = asyncio.ensure_future(self._joined(pieces, turns))
        return made.result() if made.done() else await asyncio.shield(made)

    async def _joined(self, pieces: Pieces, turns: Turns) -> bytes:
        if len(self) <= chunks.OPTIONS_A_CHUNK:
            return b"".join(pieces(self))
        parts = []
        async with turns:
            for number, part in enumerate(pieces(self), 1):
                parts.append(part)
                if not number % chunks.OPTIONS_A_CHUNK:
                    await turns.rest()
            return b"".join(parts)


@dataclass(slots=True)
class KeptTally:
    """A tally of the present version. `results` is None while it is made."""

    poll: PollView
    results: SharedResults | None = None


class KeptTallies:
    """Used on the node's loop."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._kept: dict[str, KeptTally] = {}  # by poll, the one that was begun first in front
        self._version = 0  # of which these are
        replica.on_applied(self._drop_changed)

    def of(self, poll: PollView) -> SharedResults | None:
        """The poll's results now, if they are kept."""
        self._drop_unknown()
        kept = self._kept.get(poll.id)
        return kept.results if kept is not None and kept.poll is poll else None

    def begin(self, poll: PollView) -> KeptTally:
        """Its results are read now, and may be put together later."""
        self._drop_unknown()
        self._kept.pop(poll.id, None)
        kept = self._kept[poll.id] = KeptTally(poll)
        return kept

    def keep(self, kept: KeptTally, results: SharedResults) -> SharedResults:
        """The results are complete. They are kept if the poll has not changed since they were begun."""
        kept.results = results
        while len(self._kept) > POLLS_MAX or (len(self._kept) > 1 and self._options > OPTIONS_MAX):
            del self._kept[next(iter(self._kept))]
        return results

    @property
    def _options(self) -> int:
        return sum(len(kept.poll.options) for kept in self._kept.values())

    def _drop_unknown(self) -> None:
        """All, if the state has changed without a word."""
        if self._version != self._replica.state.version:
            self._version = self._replica.state.version
            self._kept.clear()

    def _drop_changed(self, applied: Applied) -> None:
        if applied.version != self._version + 1:
            self._kept.clear()
        self._version = applied.version
        if not self._kept:
            return
        for poll_id in applied.polls:
            self._kept.pop(poll_id, None)
        if applied.options:
            self._kept = {poll_id: kept for poll_id, kept in self._kept.items() if _has_none(kept, applied.options)}


def _has_none(kept: KeptTally, options: Collection[str]) -> bool:
    """Whether none of the options is one of this tally."""
    return kept.results is not None and kept.results.keys().isdisjoint(options)
