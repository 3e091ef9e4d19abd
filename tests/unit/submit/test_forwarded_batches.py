"""Batches of a follower: forwarded in one hop, and told the truth when the leader changes, stops or stays silent."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster import entry
from quorate.cluster.submit import batch_queue
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import NoLeader, NotReady, OutcomeUnknown, QuorateError
from quorate.vote import Tallied, Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import TIMEOUT_S, mood, one_after_another, pair, shape


@in_virtual_time
async def test_a_follower_forwards_in_one_hop() -> None:
    leader, follower, submitter = await pair()
    answer = await submitter.cast([Vote("happy", id="x")], timeout_s=TIMEOUT_S)
    assert (1, 0, []) == shape(answer)
    assert [] == follower.proposed
    assert {"happy": 1, "sad": 0} == leader.state.results("mood")


@in_virtual_time
async def test_a_forwarded_batch_is_never_forwarded_again() -> None:
    leader, follower, submitter = await pair()
    leader.leader = "n2"  # each takes the other for the leader
    leader.peers["n2"] = follower
    came_back: list[bytes] = []

    async def note(peer: str, encoded: bytes) -> bytes:
        came_back.append(encoded)
        raise NoLeader("n2 does not lead")

    follower.handlers["section"] = note
    with pytest.raises(QuorateError):  # which one depends on where its deadline finds it
        await submitter.cast([Vote("happy", id="x")], timeout_s=0.2)
    assert [] == came_back
    assert {"happy": 0, "sad": 0} == leader.state.results("mood")


def _forget(done: asyncio.Future[Tallied]) -> None:
    done.exception()


@in_virtual_time
async def test_a_leader_that_leads_no_more_gives_back_forwarded_batches() -> None:
    """It could forward the batch, but then nobody could say how often it is forwarded."""
    first, own = await mood()
    follower, second = LocalReplica("n2"), LocalReplica("n3")
    follower.state = second.state = first.state
    follower.leader, submitter = "n1", Submitter(follower)
    follower.peers = {"n1": first, "n3": second}
    first.peers = {"n3": second}
    Submitter(second)
    askers: list[str] = []
    count = second.handlers["section"]

    async def counted(peer: str, encoded: bytes) -> bytes:
        askers.append(peer)
        return await count(peer, encoded)

    second.handlers["section"] = counted
    first.held = []
    for stuck in await one_after_another(own, ["s0", "s1"], TIMEOUT_S):  # all its places are taken
        stuck.add_done_callback(_forget)
    assert 2 == len(first.held)
    vote = asyncio.ensure_future(submitter.cast([Vote("happy", id="x")], timeout_s=TIMEOUT_S))
    await asyncio.sleep(0.05)
    assert not vote.done()
    first.lead("n3")
    follower.leader = "n3"
    assert 1 == (await vote).applied
    assert ["n2"] == askers


@in_virtual_time
async def test_a_batch_waits_for_one_leadership_only() -> None:
    """A relay names the term in which its batch may be proposed. The leader may be elected again within a moment."""
    leader, own = await mood()
    leader.held = []
    for i in range(2):  # all its places are taken
        asyncio.ensure_future(own.cast([Vote("sad", id=f"s{i}")], timeout_s=TIMEOUT_S)).add_done_callback(_forget)
        for _ in range(10):
            await asyncio.sleep(0)
    forwarded = asyncio.ensure_future(leader.handlers["section"]("n2", entry.encode_batch([])))
    await asyncio.sleep(0)
    leader.lead("n3")
    leader.lead("n1")
    leader.held = None
    with pytest.raises(NoLeader, match="does not lead any more"):
        await forwarded


@in_virtual_time
async def test_a_vote_leaves_when_another_node_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells a follower that another node leads now: the queue checks."""
    monkeypatch.setattr(batch_queue, "SWEEP_S", 1000.0)
    _, follower, submitter = await pair()
    follower.leader = None
    vote = asyncio.ensure_future(submitter.cast([Vote("happy", id="x")], timeout_s=10))
    await asyncio.sleep(0.01)
    follower.leader = "n1"
    assert 1 == (await vote).applied


@in_virtual_time
async def test_a_batch_that_a_stopping_leader_refuses_is_tried_again() -> None:
    leader, _, submitter = await pair()
    serve = leader.handlers["section"]
    told: list[str] = []

    async def stopping(peer: str, encoded: bytes) -> bytes:
        leader.handlers["section"] = serve
        told.append(peer)
        raise NotReady("this node is stopping")

    leader.handlers["section"] = stopping
    assert 1 == (await submitter.cast([Vote("happy", id="x")], timeout_s=TIMEOUT_S)).applied
    assert ["n2"] == told


@in_virtual_time
async def test_a_silent_leader_that_was_replaced_delays_no_other_vote() -> None:
    """After SIGSTOP or with a dead machine, a connection may look open for seconds after another leader was elected."""
    leader, follower, submitter = await pair()
    leader.held = []  # takes votes and never answers
    tasks = len(asyncio.all_tasks())
    stuck = await one_after_another(submitter, ["s0", "s1", "s2", "s3"], timeout_s=1.0)
    follower.lead("n2")
    assert 1 == (await submitter.cast([Vote("sad", id="new")], timeout_s=TIMEOUT_S)).applied
    answers = await asyncio.gather(*stuck, return_exceptions=True)
    assert all(isinstance(answer, Tallied | OutcomeUnknown) for answer in answers)
    assert any(isinstance(answer, OutcomeUnknown) for answer in answers)
    async with asyncio.timeout(2):
        while submitter.waiting_bytes or len(asyncio.all_tasks()) > tasks:  # nothing is left of them
            await asyncio.sleep(0.01)


@in_virtual_time
async def test_an_answer_of_a_replaced_leader_is_taken() -> None:
    """Leadership was handed over: the old leader is up and knows what it committed."""
    leader, follower, submitter = await pair()
    leader.held = []
    first, second, third = await one_after_another(submitter, ["a", "b", "c"], timeout_s=5)
    follower.lead("n2")
    assert 1 == (await third).applied  # it had not left
    assert not first.done()
    for data, answer in leader.held:
        leader.commit(data, answer)
    assert (1, 1) == ((await first).applied, (await second).applied)


@in_virtual_time
async def test_a_batch_that_a_replaced_leader_refuses_for_sure_is_tried_with_the_next_leader() -> None:
    leader, follower, submitter = await pair()
    release = asyncio.Event()

    async def refuse_late(peer: str, encoded: bytes) -> bytes:
        await release.wait()
        raise NoLeader("n1 does not lead any more")

    leader.handlers["section"] = refuse_late
    (vote,) = await one_after_another(submitter, ["a"], timeout_s=5)
    follower.lead("n2")
    assert 1 == (await submitter.cast([Vote("sad", id="new")], timeout_s=TIMEOUT_S)).applied
    release.set()
    assert 1 == (await vote).applied
    assert {"happy": 1, "sad": 1} == follower.state.results("mood")
