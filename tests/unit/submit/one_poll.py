"""What the tests of submitting share: replicas with one poll, "mood", and votes for it."""

from __future__ import annotations

import asyncio

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.batch_queue import PLACES
from quorate.cluster.submit.submitter import Submitter
from quorate.vote import Tallied, Vote
from tests.support.local_replica import LocalReplica

TIMEOUT_S = 30.0


async def mood(node_id: str = "n1") -> tuple[LocalReplica, Submitter]:
    replica = LocalReplica(node_id)
    submitter = Submitter(replica)
    await submitter.create_poll(
        CreatePoll("mood", "How are you?", ["happy", "sad"], "open", None, False), timeout_s=TIMEOUT_S
    )
    return replica, submitter


async def pair() -> tuple[LocalReplica, LocalReplica, Submitter]:
    """A leader n1, a follower n2, and the submitter of n2. Both have the same state, as after replication."""
    leader, _ = await mood()
    follower = LocalReplica("n2")
    follower.state, follower.leader = leader.state, "n1"
    follower.peers["n1"] = leader
    return leader, follower, Submitter(follower)


def shape(answer: Tallied) -> tuple[int, int, list[tuple[int, str | None, str]]]:
    return answer.applied, answer.duplicates, [(r.index, r.id, r.reason) for r in answer.rejected]


async def one_after_another(submitter: Submitter, ids: list[str], timeout_s: float) -> list[asyncio.Task[Tallied]]:
    """Cast votes one after the other: while there is a place, each has left before the next comes, so none share a
    batch."""
    votes, queue = [], submitter._queue
    for vote_id in ids:
        votes.append(asyncio.ensure_future(submitter.cast([Vote("happy", id=vote_id)], timeout_s=timeout_s)))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while queue._open and len(queue._sent) < PLACES:
                await asyncio.sleep(0.001)
        for _ in range(10):
            await asyncio.sleep(0)
    return votes
