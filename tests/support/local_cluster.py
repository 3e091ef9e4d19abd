"""A cluster of one node without a network or a disk: the real state machine and the real submitter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.vote import Tallied, Vote
from tests.support.local_replica import LocalReplica


class LocalCluster:
    """The log and the state. They outlive the sources that count into them."""

    def __init__(self, replica: LocalReplica, submitter: Submitter) -> None:
        self.replica, self.submitter = replica, submitter

    def results(self, poll: str = "mood") -> dict[str, int]:
        return self.replica.state.results(poll) or {}

    @property
    def total(self) -> int:
        return sum(self.results().values())


async def local_cluster(options: Sequence[str] = ("happy", "sad")) -> LocalCluster:
    """With one open poll, `mood`."""
    replica = LocalReplica("n1")
    submitter = Submitter(replica)
    await submitter.create_poll(CreatePoll("mood", "How are you?", [*options], "open", None, False), timeout_s=30)
    return LocalCluster(replica, submitter)


class DyingCaster:
    """Counts votes and never answers: a node that dies after the commit and before it has finished the message."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter
        self.counted = 0

    async def cast(self, votes: Sequence[Vote], *, timeout_s: float, sent_ms: Sequence[int] | None = None) -> Tallied:
        tallied = await self._submitter.cast(votes, timeout_s=timeout_s, sent_ms=sent_ms)
        self.counted += tallied.applied
        await asyncio.Event().wait()
        return tallied
