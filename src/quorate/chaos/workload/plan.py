"""The polls of a run: what they are called, their options, and the weight of each option's votes.

Every name has the run's own prefix, and no two polls share an option. So a vote that names no poll is for one poll, and
a run in a cluster that others use too counts in its own polls only. Each option has one weight: its total is a number
of votes, and one vote too many or too few shows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.chaos.history import SentVote

WEIGHTS = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)


@dataclass(frozen=True, slots=True)
class RunPoll:
    id: str
    options: dict[str, int]  # option -> weight
    closes_at_ms: int | None = None

    def choose(self, chance: random.Random, id: str | None = None, *, named: bool = True) -> SentVote:
        option = chance.choice(tuple(self.options))
        return SentVote(option, id, self.id if named else None, self.options[option])


class RunPolls:
    """The polls that stay open, and those that come and go."""

    def __init__(self, prefix: str, *, redis: bool = False) -> None:
        """`redis`: there are Redis clients, who have a poll of their own."""
        self.prefix = prefix
        self.single = self.make("single", 12)
        self.batch = self.make("batch", 12)
        self.keyed = self.make("keyed", 8)
        self.session = self.make("session", 6)
        self.probe = self.make("probe", 2)
        self.queue = self.make("queue", 8)
        self.redis = self.make("redis", 12)
        self._others = (self.redis,) if redis else ()
        self.closing: list[RunPoll] = []  # of which votes are sent now, also for a while after they closed
        self.made: list[RunPoll] = []  # whose creation was answered

    @property
    def lasting(self) -> Sequence[RunPoll]:
        return (self.single, self.batch, self.keyed, self.session, self.probe, self.queue, *self._others)

    def make(self, name: str, options: int, closes_at_ms: int | None = None) -> RunPoll:
        id = f"{self.prefix}-{name}"
        return RunPoll(id, {f"{id}.{n}": WEIGHTS[n % len(WEIGHTS)] for n in range(options)}, closes_at_ms)
