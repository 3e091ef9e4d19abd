"""Reads that wait: for a leader, for a version, and what is left of them when they give up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from quorate.cluster import reads as reads_module
from quorate.cluster.entry import CreatePoll
from quorate.cluster.reads import Level, Reads
from quorate.cluster.submit import Submitter
from quorate.errors import NoLeader, OutcomeUnknown, Stale, TooLarge
from quorate.vote import Vote
from tests.unit.local_replica import LocalReplica


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


async def pair() -> tuple[LocalReplica, LocalReplica, Reads]:
    """A leader n1 and a follower n2, whose reads are returned. They share the state, as after replication."""
    leader, follower = LocalReplica("n1"), LocalReplica("n2")
    poll = CreatePoll("mood", "", ["happy", "sad"], "open", None, False)
    await Submitter(leader).create_poll(poll, timeout_s=5)
    Reads(leader)
    follower.state, follower.leader = leader.state, "n1"
    follower.peers["n1"] = leader
    return leader, follower, Reads(follower)


@on_loop
async def test_who_waited_in_vain_for_a_version_is_forgotten() -> None:
    _, _, reads = await pair()
    for version in (10, 2**62):
        with pytest.raises(Stale):
            await reads.results("mood", level="none", min_version=version, wait_s=0.01)
    assert [] == reads._waiting


@on_loop
async def test_others_still_learn_of_their_version() -> None:
    leader, _, _ = await pair()
    reads = Reads(leader)
    soon = asyncio.ensure_future(reads.results("mood", min_version=leader.state.version + 1, wait_s=5))
    with pytest.raises(Stale):
        await reads.results("mood", min_version=2**62, wait_s=0.01)
    await Submitter(leader).cast([Vote("happy")], timeout_s=5)
    assert 1 == (await soon).results["happy"]


@on_loop
async def test_an_answer_too_big_to_forward_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads_module, "ENTRY_BYTES_MAX", 10)
    _, _, reads = await pair()
    with pytest.raises(TooLarge, match="ask n1"):
        await reads.results("mood")


@pytest.mark.parametrize("error", [NoLeader("it leads no more"), OutcomeUnknown("the link broke")])
@pytest.mark.parametrize("level", ["weak", "linearizable"])
@on_loop
async def test_a_read_outlives_the_leader_it_asked(level: Level, error: Exception) -> None:
    leader, _, reads = await pair()
    serve = leader.handlers["read"]

    async def deposed(peer: str, request: bytes) -> bytes:
        leader.handlers["read"] = serve
        raise error

    leader.handlers["read"] = deposed
    assert level == (await reads.results("mood", level=level, wait_s=5)).level


@on_loop
async def test_a_leader_that_is_deposed_while_it_reads_asks_the_next_one() -> None:
    _, other, _ = await pair()
    reads = Reads(other)
    other.lead("n2")

    async def barrier() -> int:
        other.lead("n1")
        raise NoLeader("n2 does not lead now")

    other.barrier = barrier  # type: ignore[method-assign]
    assert "linearizable" == (await reads.results("mood", level="linearizable", wait_s=5)).level


@on_loop
async def test_without_a_leader_it_is_told_so_in_time() -> None:
    _, follower, reads = await pair()
    follower.leader = None
    with pytest.raises(NoLeader):
        await reads.results("mood", wait_s=0.05)
