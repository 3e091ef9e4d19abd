"""Polls close at their time although nobody votes."""

from __future__ import annotations

import asyncio

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.cluster.submit.timed_close import TimedClose
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time


async def with_a_poll_that_closes() -> LocalReplica:
    """Soon. Time passes only where the test waits."""
    replica, loop = LocalReplica(), asyncio.get_running_loop()
    began_ms, began_s = replica.now_ms(), loop.time()
    replica.now_ms = lambda: began_ms + int((loop.time() - began_s) * 1000)  # type: ignore[method-assign]  # of a double
    poll = CreatePoll("mood", "", ["happy", "sad"], "open", began_ms + 300, False)
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
