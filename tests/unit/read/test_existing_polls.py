"""Which of many polls there are, as a follower tells it."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.entry import CreatePoll
from quorate.cluster.fsm import StateMachine
from quorate.cluster.read import reads as reads_module
from quorate.cluster.read.reads import Reads
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import NotReady
from quorate.words import Level
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time


async def reads_of(follower: LocalReplica, leader: LocalReplica) -> Reads:
    """Both have the same state, as after replication."""
    await Submitter(leader).create_poll(CreatePoll("mood", "", ["happy", "sad"], "open", None, False), timeout_s=60)
    Reads(leader)
    follower.state, follower.leader = leader.state, "n1"
    follower.peers["n1"] = leader
    return Reads(follower)


@in_virtual_time
async def test_which_of_many_polls_there_are_is_one_question_to_the_leader() -> None:
    """It was one for each key of EXISTS, which may name ten thousand."""
    leader, follower = LocalReplica("n1"), LocalReplica("n2")
    reads = await reads_of(follower, leader)
    serve, asked = leader.handlers["read"], 0

    async def counted(peer: str, request: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return await serve(peer, request)

    leader.handlers["read"] = counted
    named = {"mood", *(f"poll {number}" for number in range(100))}
    levels: tuple[Level, ...] = ("weak", "linearizable")
    for level in levels:
        asked = 0
        assert {"mood"} == await reads.existing(named, level=level)
        assert 1 == asked
    assert {"mood"} == await reads.existing({"mood"}, level="none")
    with pytest.raises(NotReady):
        await reads.existing(named, level="none", wait_s=0)
    between = follower.peers["n3"] = LocalReplica("n3")
    between.peers["n1"], follower.leader_via = leader, "n3"
    assert {"mood"} == await reads.existing({"mood", "poll 1"}), "this node does not get what the leader applies"


@in_virtual_time
async def test_a_follower_that_lags_waits_or_asks_before_it_says_which_polls_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leader, follower = LocalReplica("n1"), LocalReplica("n2")
    reads = await reads_of(follower, leader)
    follower.state = StateMachine()
    asked = asyncio.ensure_future(reads.existing({"mood", "lunch"}))
    await asyncio.sleep(0.05)
    assert not asked.done()
    for data in [*leader.formed, *leader.proposed]:
        follower.commit(data, asyncio.get_running_loop().create_future())
    assert {"mood"} == await asked
    monkeypatch.setattr(reads_module, "CATCH_UP_S", 0.01)
    follower.state = StateMachine()
    assert {"mood"} == await reads.existing({"mood", "lunch"})
