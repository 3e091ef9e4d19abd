"""A node that does not know yet what the cluster has counted never answers as if it knew."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.entry import CreatePoll
from quorate.cluster.read.reads import Reads
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import NotReady, UnknownPoll
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time


async def starting() -> tuple[LocalReplica, LocalReplica, Reads]:
    """A leader with a poll, a node that has read nothing and knows no leader, and that node's reads."""
    leader, node = LocalReplica("n1"), LocalReplica("n2", form=False)
    await Submitter(leader).create_poll(CreatePoll("mood", "", ["happy", "sad"], "open", None, False), timeout_s=60)
    Reads(leader)
    node.leader = None
    node.peers["n1"] = leader
    return leader, node, Reads(node)


@in_virtual_time
async def test_a_node_that_starts_denies_no_poll_and_lists_none() -> None:
    _, _, reads = await starting()
    for read in (
        reads.results("mood", level="none", wait_s=0),
        reads.poll("mood", level="none", wait_s=0),
        reads.polls(level="none", wait_s=0),
        reads.wait_until_known(0, 0),
    ):
        with pytest.raises(NotReady):
            await read


@in_virtual_time
async def test_a_node_that_has_a_poll_shows_it_before_it_knows_the_rest() -> None:
    leader, node, reads = await starting()
    node.state = leader.state
    assert "mood" == (await reads.results("mood", level="none", wait_s=0)).id
    assert "mood" == (await reads.poll("mood", level="none", wait_s=0)).value.id
    with pytest.raises(NotReady):
        await reads.polls(level="none", wait_s=0)
    with pytest.raises(NotReady):
        await reads.poll("other", level="none", wait_s=0)


@in_virtual_time
async def test_reads_wait_for_what_the_node_learns() -> None:
    leader, node, reads = await starting()
    found = asyncio.ensure_future(reads.results("mood", level="none", wait_s=30))
    listed = asyncio.ensure_future(reads.polls(level="none", wait_s=30))
    denied = asyncio.ensure_future(reads.poll("other", level="none", wait_s=30))
    node.leader = "n1"
    await reads.staleness.ask_once()
    await asyncio.sleep(0.05)
    assert not any(read.done() for read in (found, listed, denied)), "the leader's entries are not applied here"
    node.state = leader.state
    assert ("mood", ["mood"]) == ((await found).id, [poll.id for poll in (await listed).value])
    with pytest.raises(UnknownPoll):
        await denied


@in_virtual_time
async def test_what_was_known_once_is_told_without_a_leader() -> None:
    leader, node, reads = await starting()
    node.leader, node.state = "n1", leader.state
    await reads.staleness.ask_once()
    node.leader = None
    assert ["mood"] == [poll.id for poll in (await reads.polls(level="none", wait_s=0)).value]
    with pytest.raises(UnknownPoll):
        await reads.poll("other", level="none", wait_s=0)


@in_virtual_time
async def test_a_node_that_has_led_knows() -> None:
    leader, _, _ = await starting()
    reads = Reads(leader)
    with pytest.raises(UnknownPoll):
        await reads.poll("other", level="none", wait_s=0)
    leader.leader = None
    with pytest.raises(UnknownPoll):
        await reads.poll("other", level="none", wait_s=0)
