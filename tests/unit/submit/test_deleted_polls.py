"""What a batch says its node knew: so that a vote for a deleted poll never counts in a new one of its name."""

from __future__ import annotations

import asyncio

from quorate.cluster import entry
from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.vote import Tallied, Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import TIMEOUT_S

VOTE = Vote("happy", id="u1", poll="mood")


async def create(submitter: Submitter) -> None:
    poll = CreatePoll("mood", "", ["happy", "sad"], "open", None, False)
    assert "created" == (await submitter.create_poll(poll, timeout_s=TIMEOUT_S))[0].what


async def delete(submitter: Submitter, creation: int) -> None:
    for state in ("closed", "archived"):
        await submitter.set_poll_state("mood", state, timeout_s=TIMEOUT_S)
    assert "removed" == (await submitter.delete_poll("mood", creation, timeout_s=TIMEOUT_S))[0].what


async def leader() -> tuple[LocalReplica, Submitter]:
    replica = LocalReplica()
    replica.state.raise_level(entry.encode_raise(1))
    submitter = Submitter(replica)
    await create(submitter)
    return replica, submitter


def reasons(tallied: Tallied) -> list[str]:
    return [each.reason for each in tallied.rejected]


@in_virtual_time
async def test_without_a_name_that_was_used_again_a_batch_is_as_it_ever_was() -> None:
    replica, submitter = await leader()
    await delete(submitter, 1)
    await submitter.cast([VOTE], timeout_s=TIMEOUT_S)
    assert [entry.CastVotes] == [type(each) for each in entry.decode_batch(last_batch(replica))]


def last_batch(replica: LocalReplica) -> bytes:
    return entry.decode_entry(replica.proposed[-1]).batches[-1]


@in_virtual_time
async def test_a_vote_that_waited_while_its_poll_was_deleted_and_created_anew_does_not_count() -> None:
    replica, submitter = await leader()
    replica.held = []
    late = asyncio.ensure_future(submitter.cast([VOTE, Vote("sad", poll="mood")], timeout_s=TIMEOUT_S))
    while not replica.held:
        await asyncio.sleep(0)
    [held], replica.held = replica.held, None
    await delete(submitter, 1)
    await create(submitter)
    replica.commit(*held)
    assert ["deleted", "deleted"] == reasons(await late)
    assert {"happy": 0, "sad": 0} == replica.state.results("mood")
    assert 1 == (await submitter.cast([VOTE], timeout_s=TIMEOUT_S)).applied  # the id was not used up


@in_virtual_time
async def test_a_node_that_is_behind_does_not_vote_for_a_poll_that_it_does_not_know() -> None:
    replica, submitter = await leader()
    behind = LocalReplica("n2")
    behind.lead("n1")
    behind.peers["n1"] = replica
    follower = Submitter(behind)
    for data in [entry.encode_raise(1), *replica.proposed]:
        behind.state.apply(data) if data != entry.encode_raise(1) else behind.state.raise_level(data)
    assert 1 == (await follower.cast([VOTE], timeout_s=TIMEOUT_S)).applied
    await delete(submitter, 1)
    await create(submitter)
    assert ["deleted"] == reasons(await follower.cast([Vote("happy", poll="mood")], timeout_s=TIMEOUT_S))
    assert ["conflict"] == reasons(await follower.cast([VOTE], timeout_s=TIMEOUT_S))
    for data in replica.proposed[len(replica.proposed) - 8 :]:
        behind.state.apply(data)
    assert behind.state.newest_again
    assert 1 == (await follower.cast([Vote("sad", id="u2", poll="mood")], timeout_s=TIMEOUT_S)).applied
    assert {"happy": 0, "sad": 1} == replica.state.results("mood")


@in_virtual_time
async def test_votes_from_before_and_after_a_creation_never_share_a_batch() -> None:
    replica, submitter = await leader()
    await delete(submitter, 1)
    replica.lead(None)  # what comes now waits
    before = asyncio.ensure_future(submitter.cast([Vote("sad", id="b", poll="mood")], timeout_s=TIMEOUT_S))
    await asyncio.sleep(0)
    anew = entry.encode_batch([CreatePoll("mood", "", ["happy", "sad"], "open", None, False)])
    replica.state.apply(entry.encode_entry(replica.now_ms(), [anew]))
    after = asyncio.ensure_future(submitter.cast([VOTE], timeout_s=TIMEOUT_S))
    await asyncio.sleep(0)
    replica.lead("n1")
    assert ["deleted"] == reasons(await before)
    assert 1 == (await after).applied
