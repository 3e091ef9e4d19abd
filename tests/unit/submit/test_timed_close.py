"""Polls close at their time although nobody votes."""

from __future__ import annotations

import asyncio

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.cluster.submit.timed_close import TimedClose
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time


class ReplicaOfTheLoop(LocalReplica):
    """Its clock goes as the loop's does."""

    def __init__(self) -> None:
        super().__init__()
        self._began_ms, self._began_s = super().now_ms(), asyncio.get_running_loop().time()

    def now_ms(self) -> int:
        return self._began_ms + int((asyncio.get_running_loop().time() - self._began_s) * 1000)


async def with_a_poll_that_closes() -> LocalReplica:
    """Soon. Time passes only where the test waits."""
    replica = ReplicaOfTheLoop()
    poll = CreatePoll("mood", "", ["happy", "sad"], "open", replica.now_ms() + 300, False)
    await Submitter(replica).create_poll(poll, timeout_s=1)
    return replica


def state_of(replica: LocalReplica) -> str:
    poll = replica.state.poll("mood")
    assert poll is not None
    return poll.state


@in_virtual_time
async def test_a_poll_closes_at_its_time_though_nobody_votes() -> None:
    replica = await with_a_poll_that_closes()
    closing = TimedClose(replica)
    closing.start()
    await asyncio.sleep(0.25)
    assert "open" == state_of(replica)
    await asyncio.sleep(0.5)  # long enough for a second, needless entry
    closing.stop()
    assert ("closed", 3) == (state_of(replica), replica.state.version)


@in_virtual_time
async def test_a_follower_proposes_nothing() -> None:
    replica = await with_a_poll_that_closes()
    replica.proposed.clear()
    replica.lead("n2")
    closing = TimedClose(replica)
    closing.start()
    await asyncio.sleep(0.7)
    closing.stop()
    assert [] == replica.proposed
