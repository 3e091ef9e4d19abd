"""Requests of several shares of the dedup window in one batch: each is told its own part of the results."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CastOnce, CastVotes, InShare, OpenProducer, Seen
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import Conflict
from quorate.vote import Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import TIMEOUT_S, mood, pair, shape
from tests.unit.submit.test_deleted_polls import create, delete


async def at_level_1() -> tuple[LocalReplica, Submitter]:
    replica, submitter = await mood()
    replica.state.raise_level(entry.encode_raise(1))
    return replica, submitter


def last_commands(replica: LocalReplica) -> list[type]:
    [batch] = entry.decode_entry(replica.proposed[-1]).batches
    return [type(command) for command in entry.decode_batch(batch)]


@in_virtual_time
async def test_votes_of_all_shares_leave_in_one_batch_and_each_request_learns_its_own_outcomes() -> None:
    replica, submitter = await at_level_1()
    before = len(replica.proposed)
    answers = await asyncio.gather(
        submitter.cast([Vote("happy", id="a"), Vote("joy", id="x")], timeout_s=TIMEOUT_S, share=2),
        submitter.cast([Vote("happy", id="a"), Vote("sad", id="b"), Vote("sad")], timeout_s=TIMEOUT_S),
        submitter.cast_once("k", [Vote("sad"), Vote("sad")], timeout_s=TIMEOUT_S, share=2),
        submitter.cast([Vote("sad", id="a"), Vote("joy"), Vote("happy", id="c")], timeout_s=TIMEOUT_S, share=1),
        submitter.cast([Vote("happy", id="c")], timeout_s=TIMEOUT_S, share=2),
        submitter.open_producer("p", timeout_s=TIMEOUT_S),
    )
    assert 1 == len(replica.proposed) - before
    expected = [CastVotes, OpenProducer, InShare, CastVotes, InShare, CastVotes, CastOnce]
    assert expected == last_commands(replica), "the common share is the first: it needs no word"
    in_two, common, once, in_one, known, (opened, _) = answers
    assert (3, 0, []) == shape(common)
    assert (1, 0, [(0, "a", "conflict"), (1, None, "unknown_option")]) == shape(in_one)
    assert (0, 1, [(1, "x", "unknown_option")]) == shape(in_two)
    assert ((2, 0, []), (0, 1, []), 1) == (shape(once), shape(known), opened.epoch)
    assert {0: 2, 1: 1, 2: 1} == replica.state.dedup().shares
    assert {"happy": 2, "sad": 4} == replica.state.results("mood")


@in_virtual_time
async def test_a_key_that_was_used_in_another_share_is_known() -> None:
    _, submitter = await at_level_1()
    assert 1 == (await submitter.cast_once("k", [Vote("sad")], timeout_s=TIMEOUT_S, share=3)).applied
    assert 1 == (await submitter.cast_once("k", [Vote("sad")], timeout_s=TIMEOUT_S)).duplicates
    with pytest.raises(Conflict):
        await submitter.cast_once("k", [Vote("happy")], timeout_s=TIMEOUT_S, share=1)


@in_virtual_time
async def test_without_shares_a_batch_is_as_it_ever_was() -> None:
    replica, submitter = await at_level_1()
    await submitter.cast([Vote("happy", id="a")], timeout_s=TIMEOUT_S)
    assert [CastVotes] == last_commands(replica)


@in_virtual_time
async def test_below_its_level_no_share_is_said() -> None:
    replica, submitter = await mood()
    await submitter.cast([Vote("happy", id="a")], timeout_s=TIMEOUT_S, share=1)
    assert [CastVotes] == last_commands(replica)
    await submitter.cast_once("k", [Vote("sad")], timeout_s=TIMEOUT_S, share=1)
    assert [CastOnce] == last_commands(replica)
    assert {0: 2} == replica.state.dedup().shares


@in_virtual_time
async def test_a_follower_forwards_shares() -> None:
    leader, _, submitter = await pair()
    leader.state.raise_level(entry.encode_raise(1))
    assert 1 == (await submitter.cast([Vote("happy", id="a")], timeout_s=TIMEOUT_S, share=8)).applied
    assert {0: 0, 8: 1} == leader.state.dedup().shares


@in_virtual_time
async def test_shares_and_what_a_node_knew_of_deleted_polls_go_together() -> None:
    replica, submitter = await at_level_1()
    await delete(submitter, 0)
    await create(submitter)
    answers = await asyncio.gather(
        submitter.cast([Vote("happy", id="a", poll="mood")], timeout_s=TIMEOUT_S, share=1),
        submitter.cast([Vote("sad", id="b", poll="mood")], timeout_s=TIMEOUT_S),
    )
    assert [Seen, CastVotes, InShare, CastVotes] == last_commands(replica)
    assert [(1, 0, [])] * 2 == [shape(answer) for answer in answers]


@in_virtual_time
async def test_votes_of_a_queue_that_are_too_old_leave_the_others_in_their_share() -> None:
    replica, submitter = await at_level_1()
    await delete(submitter, 0)
    await create(submitter)
    votes = [Vote("happy", id="a", poll="mood"), Vote("sad", id="b")]
    tallied = await submitter.cast(votes, timeout_s=TIMEOUT_S, sent_ms=[1, 1], share=5)
    assert (1, 0, [(0, "a", "deleted")]) == shape(tallied)
    assert {0: 0, 5: 1} == replica.state.dedup().shares
