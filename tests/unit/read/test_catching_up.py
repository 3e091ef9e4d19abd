"""A node that catches up has all that was committed before it was asked: a majority says so, not the leader alone."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.fsm import StateMachine
from quorate.cluster.read.reads import Reads
from quorate.errors import NoLeader, Stale
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.read.test_reads import pair, replicate


class Doubted(LocalReplica):
    """A leader that no majority confirms."""

    async def barrier(self) -> int:
        raise NoLeader("another one leads")


@in_virtual_time
async def test_a_leader_that_nobody_confirms_does_not_do() -> None:
    with pytest.raises((NoLeader, TimeoutError)):
        await Reads(Doubted("n1")).catch_up(0.1)


@in_virtual_time
async def test_a_follower_does_not_take_the_word_of_a_leader_that_nobody_confirms() -> None:
    leader, follower = Doubted("n1"), LocalReplica("n2")
    Reads(leader)
    follower.leader = "n1"
    follower.peers["n1"] = leader
    with pytest.raises((NoLeader, TimeoutError)):
        await Reads(follower).catch_up(0.1)


@in_virtual_time
async def test_a_follower_waits_until_it_has_applied_the_version_of_the_leader() -> None:
    leader, follower, reads = await pair()
    follower.state = StateMachine()
    with pytest.raises((Stale, TimeoutError)):
        await reads.catch_up(0.05)
    waits = asyncio.ensure_future(reads.catch_up(5))
    await asyncio.sleep(0.01)
    assert not waits.done()
    await replicate(leader, follower)
    await waits
    assert leader.state.version == follower.state.version


@in_virtual_time
async def test_without_a_leader_it_ends_in_time() -> None:
    replica = LocalReplica("n1")
    replica.lead(None)
    with pytest.raises((NoLeader, TimeoutError)):
        await Reads(replica).catch_up(0.05)
