"""Whether anybody sends the cluster votes by ones and twos: then heavy work is done piece by piece.

Each node tells by the entries that it applies, so it does not matter at which node they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from quorate.cluster.entry import Result, VotesResult, WholeResult
from quorate.cluster.fsm import Applied
from quorate.cluster.replica import Replica

LIGHT_VOTES = 100  # of a batch at the most: it may hold requests of several clients
REMEMBERED_S = 2.0  # so who votes once a second finds no heavy work in his way either


class LightVotes:
    def __init__(self, replica: Replica) -> None:
        self._now_s = asyncio.get_running_loop().time
        self._until_s = float("-inf")
        replica.on_applied(self._on_applied)

    @property
    def come(self) -> bool:
        """Whether some were counted a moment ago."""
        return self._now_s() < self._until_s

    def _on_applied(self, applied: Applied) -> None:
        if any(0 < _votes(results) <= LIGHT_VOTES for results in applied.results):
            self._until_s = self._now_s() + REMEMBERED_S


def _votes(batch: Iterable[Result]) -> int:
    """How many it took the node one by one to apply: those without an id are one for each choice."""
    count = 0
    for result in batch:
        if type(result) is VotesResult:
            count += len(result.outcomes) + len(result.plain)
        elif type(result) is WholeResult:
            count += result.votes
    return count
