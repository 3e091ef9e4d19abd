"""Many reads of a follower that a majority must confirm ask the leader together, and none is told what is too old."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.read.reads import Reads, Results
from quorate.cluster.read.shared_question import SharedQuestion
from quorate.cluster.submit.submitter import Submitter
from quorate.vote import Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.read.test_reads import pair

READS = 50


def sure(reads: Reads) -> asyncio.Task[Results]:
    return asyncio.ensure_future(reads.results("mood", level="linearizable"))


def slow(leader: LocalReplica) -> list[None]:
    """Have the leader take a tenth of a second for each question. Returns those that it was asked."""
    serve, asked = leader.handlers["read"], list[None]()

    async def served(peer: str, request: bytes) -> bytes:
        asked.append(None)
        try:
            return await serve(peer, request)
        finally:
            await asyncio.sleep(0.1)

    leader.handlers["read"] = served
    return asked


@in_virtual_time
async def test_reads_that_come_together_ask_the_leader_together() -> None:
    """Each asked by itself: fifty clients of a follower took a third of the leader."""
    leader, _, reads = await pair()
    asked = slow(leader)
    await asyncio.gather(*(sure(reads) for _ in range(READS)))
    assert 2 == len(asked), "the first one at once, and one for all others"


@in_virtual_time
@pytest.mark.parametrize(("beside_votes", "least", "most"), [(True, 8, 12), (False, 40, 60)])
async def test_many_readers_have_a_majority_asked_only_now_and_then_beside_votes(
    beside_votes: bool, least: int, most: int
) -> None:
    """Four hundred rounds a second were four hundred messages of each node, which votes waited for."""
    rounds = list[None]()

    async def ask() -> None:
        rounds.append(None)
        await asyncio.sleep(0.001)

    question, until_s = SharedQuestion(ask, lambda: beside_votes), asyncio.get_running_loop().time() + 0.05

    async def reader() -> None:
        while asyncio.get_running_loop().time() < until_s:
            await question.answer(until_s + 1)

    await asyncio.gather(*(reader() for _ in range(READS)))
    assert least <= len(rounds) <= most


@in_virtual_time
async def test_a_read_never_shares_a_question_that_was_asked_before_it_came() -> None:
    leader, follower, reads = await pair()
    follower.state = follower.state.restore(leader.state.freeze().encode())
    asked = slow(leader)
    early = [sure(reads) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert 2 == len(asked), "both are under way"
    await Submitter(leader).cast([Vote("happy")], timeout_s=60)
    late = [sure(reads) for _ in range(3)]
    await asyncio.wait(early)
    assert [0, 0, 0] == [(await each).total for each in early]
    await asyncio.sleep(0.05)
    follower.commit(leader.proposed[-1], asyncio.get_running_loop().create_future())
    assert [1, 1, 1] == [(await each).total for each in late]
    assert 3 == len(asked)


@in_virtual_time
async def test_a_read_whose_client_leaves_ends_no_question_of_others() -> None:
    leader, _, reads = await pair()
    slow(leader)
    first, leaves, stays = sure(reads), sure(reads), sure(reads)
    await asyncio.sleep(0.05)
    leaves.cancel()
    assert 0 == (await first).total == (await stays).total


@in_virtual_time
async def test_where_the_shared_question_has_no_answer_each_read_asks_by_itself() -> None:
    leader, follower, reads = await pair()
    follower.state = follower.state.restore(leader.state.freeze().encode())
    await Submitter(leader).cast([Vote("happy")], timeout_s=60)
    asked = slow(leader)
    totals = [found.total for found in await asyncio.gather(*(sure(reads) for _ in range(3)))]
    assert ([1, 1, 1], 4) == (totals, len(asked)), "it does not get what the leader has"
