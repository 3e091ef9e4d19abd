"""`age_ms` bounds how old an answer is, and says so when no bound is known."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.entry import CreatePoll
from quorate.cluster.fsm import StateMachine
from quorate.cluster.read.reads import Reads
from quorate.cluster.read.staleness import ASK_EVERY_S, FIRST_ASK_EVERY_S
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import NoLeader, OutcomeUnknown
from quorate.vote import Vote
from quorate.words import AGE_UNKNOWN_MS, Level
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.support.waiting import until


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Pair:
    """A leader n1, and a follower n2 that applies what it is given. Both measure time with one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.leader, self.follower = LocalReplica("n1"), LocalReplica("n2")
        self.at_leader = Reads(self.leader, clock=self.clock)
        self.at_follower = Reads(self.follower, clock=self.clock)
        self.follower.leader = "n1"
        self.follower.peers["n1"] = self.leader

    async def begin(self) -> None:
        await Submitter(self.leader).create_poll(
            CreatePoll("mood", "", ["happy", "sad"], "open", None, False), timeout_s=60
        )
        self.replicate()

    def replicate(self) -> None:
        """The follower applies all that the leader has."""
        self.follower.state = StateMachine()
        for entry in [*self.leader.formed, *self.leader.proposed]:
            self.follower.state.apply(entry)

    async def local_age_ms(self) -> int:
        return (await self.at_follower.results("mood", level="none")).age_ms


@in_virtual_time
async def test_before_the_first_answer_of_a_leader_no_bound_is_known() -> None:
    pair = Pair()
    await pair.begin()
    assert AGE_UNKNOWN_MS == await pair.local_age_ms()
    assert AGE_UNKNOWN_MS == (await pair.at_leader.results("mood")).age_ms
    assert AGE_UNKNOWN_MS == (await pair.at_follower.results("mood")).age_ms, "it came from the leader"


@in_virtual_time
async def test_a_state_is_as_old_as_the_question_whose_answer_it_has() -> None:
    pair = Pair()
    await pair.begin()
    await pair.at_follower.staleness.ask_once()
    assert 0 == await pair.local_age_ms()
    pair.clock.now_s += 2.5
    assert 2_500 == await pair.local_age_ms()


@in_virtual_time
async def test_a_node_that_gets_no_entries_does_not_ask_often() -> None:
    """It was started while it does not hear the leader. Each question makes the leader ask all nodes."""
    pair = Pair()
    await pair.begin()
    asks = pair.at_follower.staleness
    assert FIRST_ASK_EVERY_S == asks._pause_s
    await Submitter(pair.leader).cast([Vote("happy")], timeout_s=60)
    await asks.ask_once()
    assert ASK_EVERY_S == asks._pause_s, "the answer waits"
    pair.replicate()
    assert 0 == await pair.local_age_ms()


@in_virtual_time
async def test_a_leader_that_answers_does_not_make_a_state_new_that_lacks_its_entries() -> None:
    pair = Pair()
    await pair.begin()
    await pair.at_follower.staleness.ask_once()
    await Submitter(pair.leader).cast([Vote("happy")], timeout_s=60)
    for _ in range(20):
        pair.clock.now_s += 1
        await pair.at_follower.staleness.ask_once()
    assert 20_000 == await pair.local_age_ms()
    pair.replicate()
    assert 0 == await pair.local_age_ms()


@pytest.mark.parametrize("error", [NoLeader("no majority"), OutcomeUnknown("the link is silent")])
@in_virtual_time
async def test_a_leader_without_a_majority_makes_nothing_new(error: Exception) -> None:
    pair = Pair()
    await pair.begin()
    for reads in (pair.at_follower, pair.at_leader):
        await reads.staleness.ask_once()

    async def barrier() -> int:
        raise error

    pair.leader.barrier = barrier  # type: ignore[method-assign]
    pair.clock.now_s += 60
    for reads in (pair.at_follower, pair.at_leader):
        with pytest.raises((NoLeader, OutcomeUnknown, TimeoutError)):
            await reads.staleness.ask_once()
    assert 60_000 == await pair.local_age_ms()
    assert 60_000 == (await pair.at_leader.results("mood")).age_ms, "a leader may have been replaced, too"


@in_virtual_time
async def test_an_answer_ages_on_its_way() -> None:
    pair = Pair()
    await pair.begin()
    await pair.at_leader.staleness.ask_once()
    serve = pair.leader.handlers["read"]

    async def slowly(peer: str, request: bytes) -> bytes:
        answer = await serve(peer, request)
        pair.clock.now_s += 3
        return answer

    pair.leader.handlers["read"] = slowly
    levels: tuple[Level, ...] = ("weak", "linearizable")
    for level in levels:
        found = await pair.at_follower.results("mood", level=level)
        assert found.age_ms >= 3_000, level


@in_virtual_time
async def test_a_linearizable_read_is_as_old_as_its_beginning() -> None:
    pair = Pair()
    await pair.begin()
    pair.clock.now_s += 60
    assert 0 == (await pair.at_leader.results("mood", level="linearizable")).age_ms
    assert 0 == (await pair.at_follower.results("mood", level="linearizable")).age_ms


@in_virtual_time
async def test_more_answers_than_are_kept_still_give_a_true_bound() -> None:
    pair = Pair()
    await pair.begin()
    await pair.at_follower.staleness.ask_once()
    for _ in range(300):
        await Submitter(pair.leader).cast([Vote("happy")], timeout_s=60)
        pair.clock.now_s += 1
        await pair.at_follower.staleness.ask_once()
    pair.replicate()
    assert 200_000 == await pair.local_age_ms()
    await pair.at_follower.staleness.ask_once()
    assert 0 == await pair.local_age_ms()


@in_virtual_time
async def test_the_question_is_asked_again_and_again_until_the_node_stops() -> None:
    pair = Pair()
    await pair.begin()
    staleness = pair.at_follower.staleness
    staleness.start()
    await until("the leader was asked", lambda: staleness.age_ms == 0)
    pair.follower.leader = None
    pair.clock.now_s += 5
    assert 5_000 == staleness.age_ms
    pair.follower.leader = "n1"
    await until("the leader was asked", lambda: staleness.age_ms == 0)
    await staleness.stop()
    await staleness.stop()
    assert not [task for task in asyncio.all_tasks() if "ask_for_ever" in repr(task)]
