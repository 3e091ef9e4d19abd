"""Whether anybody sends the cluster votes by ones and twos: then heavy work is done piece by piece.

Each node tells by the entries that it applies, so it does not matter at which node they came.
"""

from __future__ import annotations

import asyncio

from quorate.cluster.entry import VotesResult
from quorate.cluster.fsm import Applied
from quorate.cluster.replica import Replica

LIGHT_VOTES = 100  # of a batch at the most, which may hold requests of several clients. Those without an id are sums
REMEMBERED_S = 2.0  # so who votes once a second finds no heavy work in his way either


class LightVotes:
    def __init__(self, replica: Replica) -> None:
        self._now_s = asyncio.get_running_loop().time
        self._until_s = float("-inf")
        replica.on_applied(self._on_applied)

    def come(self) -> bool:
        """Whether some were counted a moment ago."""
        return self._now_s() < self._until_s

    def _on_applied(self, applied: Applied) -> None:
        for results in applied.results:
            last = results[-1] if results else None  # before it are only what its node knew, and votes in other shares
            if type(last) is VotesResult and 0 < len(last.outcomes) + len(last.plain) <= LIGHT_VOTES:
                self._until_s = self._now_s() + REMEMBERED_S
                return
