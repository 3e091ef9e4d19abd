"""The one wait for a leader: who is told when, and for how long a leader that refused is left alone."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.submit import batch_queue
from quorate.cluster.submit.leader_wait import LeaderWait
from quorate.errors import NoLeader, NotReady
from quorate.vote import Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import mood


def waiting_for(leader: str | None) -> tuple[LocalReplica, LeaderWait]:
    replica = LocalReplica("n2")
    replica.lead(leader)
    return replica, LeaderWait(replica, "nobody leads")


def soon_s() -> float:
    return asyncio.get_running_loop().time() + 0.1


@in_virtual_time
async def test_a_leader_that_refused_is_left_alone_for_a_moment_and_another_one_is_not() -> None:
    replica, wait = waiting_for("n1")
    wait.back_off(NotReady("n1 is stopping"))
    assert ("n1", None) == (wait.known, wait.ready)
    replica.lead("n3")
    assert "n3" == wait.ready
    replica.lead("n1")
    assert "n1" == await wait.until_ready(soon_s())


@in_virtual_time
async def test_at_the_deadline_the_caller_is_told_what_the_leader_refused_with() -> None:
    _, wait = waiting_for("n1")
    wait.back_off(NotReady("n1 is stopping"))
    with pytest.raises(NotReady, match="n1 is stopping"):
        await wait.until_ready(asyncio.get_running_loop().time())


@in_virtual_time
async def test_everybody_is_told_once_when_a_leader_is_ready() -> None:
    replica, wait = waiting_for(None)
    told: list[str] = []
    waiters = [lambda: told.append("queue"), lambda: told.append("other")]
    for waiter in (*waiters, *waiters):
        wait.tell(waiter)
    caller = asyncio.ensure_future(wait.until_ready(asyncio.get_running_loop().time() + 5))
    await asyncio.sleep(0)
    assert [] == told
    replica.lead("n3")
    assert "n3" == await caller
    assert ["queue", "other"] == told


@in_virtual_time
async def test_a_caller_that_is_told_no_leaves_nothing_behind() -> None:
    _, wait = waiting_for(None)
    with pytest.raises(NoLeader, match="nobody leads"):
        await wait.until_ready(soon_s())
    assert {} == wait._waiting


@in_virtual_time
async def test_what_waits_in_a_queue_is_refused_as_soon_as_there_is_no_hope(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep is for deadlines. Hope ends for the queue as for every other caller."""
    monkeypatch.setattr(batch_queue, "SWEEP_S", 1000.0)
    replica, submitter = await mood()
    replica.lead(None)
    vote = asyncio.ensure_future(submitter.cast([Vote("happy", id="x")], timeout_s=60))
    await asyncio.sleep(0)
    assert not vote.done()
    replica.expects_leader = False
    async with asyncio.timeout(5):
        with pytest.raises(NoLeader):
            await vote
