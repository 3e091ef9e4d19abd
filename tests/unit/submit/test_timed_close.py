"""Polls close at their time although nobody votes."""

from __future__ import annotations

import asyncio
import time

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.cluster.submit.timed_close import TimedClose
from tests.support.local_replica import LocalReplica


def test_a_poll_closes_at_its_time_though_nobody_votes() -> None:
    async def main() -> tuple[str, int]:
        replica = LocalReplica()
        closes_at_ms = int(time.time() * 1000) + 300
        await Submitter(replica).create_poll(
            CreatePoll("mood", "", ["happy", "sad"], "open", closes_at_ms, False), timeout_s=1
        )
        closing = TimedClose(replica)
        closing.start()
        async with asyncio.timeout(10):
            while (poll := replica.state.poll("mood")) is not None and poll.state == "open":
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # long enough for a second, needless entry
        closing.stop()
        assert poll is not None
        return poll.state, replica.state.version

    assert ("closed", 3) == asyncio.run(main())


def test_a_follower_proposes_nothing() -> None:
    async def main() -> list[bytes]:
        replica = LocalReplica()
        await Submitter(replica).create_poll(
            CreatePoll("mood", "", ["happy", "sad"], "open", int(time.time() * 1000) + 50, False), timeout_s=1
        )
        replica.proposed.clear()
        replica.lead("n2")
        closing = TimedClose(replica)
        closing.start()
        await asyncio.sleep(0.4)
        closing.stop()
        return replica.proposed

    assert [] == asyncio.run(main())
