"""From votes to the log: what shares an entry, and what a caller is told when it goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CreatePoll, Refused
from quorate.cluster.fsm import Applied
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import Conflict, NoLeader, NotReady, OutcomeUnknown, Overloaded, QuorateError, Rejected
from quorate.vote import ENTRY_BYTES_MAX, Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import TIMEOUT_S, mood, one_after_another, shape


@in_virtual_time
async def test_votes_that_wait_together_share_one_entry() -> None:
    replica, submitter = await mood()
    before = len(replica.proposed)
    votes = [submitter.cast([Vote("happy", id=f"u{i}")], timeout_s=TIMEOUT_S) for i in range(50)]
    answers = await asyncio.gather(*votes)
    assert {(1, 0)} == {(a.applied, a.duplicates) for a in answers}
    assert 1 == len(replica.proposed) - before
    assert {"happy": 50, "sad": 0} == replica.state.results("mood")


@in_virtual_time
async def test_each_request_learns_its_own_outcomes() -> None:
    replica, submitter = await mood()
    first, second, third = await asyncio.gather(
        submitter.cast([Vote("happy", id="a"), Vote("joy", id="b"), Vote("sad")], timeout_s=TIMEOUT_S),
        submitter.cast([Vote("happy", id="a"), Vote("sad", id="a"), Vote("sad"), Vote("rage")], timeout_s=TIMEOUT_S),
        submitter.cast([Vote("happy")], timeout_s=TIMEOUT_S),
    )
    assert (2, 0, [(1, "b", "unknown_option")]) == shape(first)
    assert (1, 1, [(1, "a", "conflict"), (3, None, "unknown_option")]) == shape(second)
    assert (1, 0, []) == shape(third)
    assert {"happy": 2, "sad": 2} == replica.state.results("mood")


@in_virtual_time
async def test_another_choice_under_an_id_is_ignored_where_the_vote_says_so() -> None:
    replica, submitter = await mood()
    first, second = await asyncio.gather(
        submitter.cast([Vote("happy", id="a", first_only=True), Vote("sad", id="b")], timeout_s=TIMEOUT_S),
        submitter.cast(
            [
                Vote("sad", id="a", first_only=True),
                Vote("happy", id="b"),
                Vote("rage", id="c", first_only=True),
                Vote("sad", first_only=True),
            ],
            timeout_s=TIMEOUT_S,
        ),
    )
    assert (2, 0, []) == shape(first)
    assert (1, 1, [(1, "b", "conflict"), (2, "c", "unknown_option")]) == shape(second)
    assert {"happy": 1, "sad": 2} == replica.state.results("mood")


@in_virtual_time
async def test_a_whole_request_counts_once_or_not_at_all() -> None:
    replica, submitter = await mood()
    votes = [Vote("happy"), Vote("happy"), Vote("sad", weight=3)]
    assert (3, 0) == (await _once(submitter, "k", votes))
    assert (0, 3) == (await _once(submitter, "k", list(reversed(votes))))
    with pytest.raises(Conflict):
        await _once(submitter, "k", votes[:1])
    with pytest.raises(Rejected) as refused:
        await _once(submitter, "k2", [Vote("happy"), Vote("rage")])
    assert [(1, "unknown_option")] == [(r["index"], r["reason"]) for r in refused.value.fields["rejected"]]
    assert (2, 0) == (await _once(submitter, "k2", [Vote("happy"), Vote("sad")]))
    assert {"happy": 3, "sad": 4} == replica.state.results("mood")


async def _once(submitter: Submitter, key: str, votes: list[Vote]) -> tuple[int, int]:
    answer = await submitter.cast_once(key, votes, timeout_s=TIMEOUT_S)
    return answer.applied, answer.duplicates


@in_virtual_time
async def test_without_a_leader_nothing_is_counted_and_the_caller_is_told_so() -> None:
    replica, submitter = await mood()
    replica.lead(None)
    with pytest.raises(NoLeader) as none:
        await submitter.cast([Vote("happy", id="x")], timeout_s=0.2)
    assert none.value.definite
    replica.lead("n1")
    assert 1 == (await submitter.cast([Vote("happy", id="x")], timeout_s=TIMEOUT_S)).applied


@in_virtual_time
async def test_a_short_deadline_does_not_shorten_the_wait_of_other_requests() -> None:
    replica, submitter = await mood()
    replica.lead(None)
    patient = [asyncio.ensure_future(submitter.cast([Vote("happy")], timeout_s=10)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(NoLeader):
        await submitter.cast([Vote("sad")], timeout_s=0.2)
    assert [False, False] == [vote.done() for vote in patient]
    replica.lead("n1")
    assert [1, 1] == [tallied.applied for tallied in await asyncio.gather(*patient)]
    assert {"happy": 2, "sad": 0} == replica.state.results("mood")


@in_virtual_time
async def test_requests_with_short_and_long_deadlines_share_an_entry() -> None:
    replica, submitter = await mood()
    before = len(replica.proposed)
    votes = [submitter.cast([Vote("happy", id=f"u{i}")], timeout_s=(2.0, 5.0)[i % 2]) for i in range(50)]
    assert {1} == {tallied.applied for tallied in await asyncio.gather(*votes)}
    (data,) = replica.proposed[before:]
    assert 2 == len(entry.decode_entry(data).batches)


@in_virtual_time
async def test_a_vote_waits_for_an_election_to_end() -> None:
    replica, submitter = await mood()
    replica.lead(None)
    vote = asyncio.ensure_future(submitter.cast([Vote("happy", id="x")], timeout_s=5))
    await asyncio.sleep(0)
    replica.lead("n1")
    assert 1 == (await vote).applied


@in_virtual_time
async def test_a_proposal_that_may_have_committed_is_unknown() -> None:
    replica, submitter = await mood()
    replica.held = []
    vote = asyncio.ensure_future(submitter.cast([Vote("happy", id="x")], timeout_s=5))
    while not replica.held:
        await asyncio.sleep(0)
    replica.lead(None)
    with pytest.raises(OutcomeUnknown) as unknown:
        await vote
    assert not unknown.value.definite


@in_virtual_time
async def test_a_proposal_without_an_answer_is_unknown_at_its_deadline() -> None:
    replica, submitter = await mood()
    replica.held = []
    with pytest.raises(OutcomeUnknown):
        await submitter.cast([Vote("happy", id="x")], timeout_s=0.2)
    (data, answer) = replica.held.pop()
    replica.held = None
    replica.commit(data, answer)  # it is counted later, which "unknown" allowed for
    assert (0, 1, []) == shape(await submitter.cast([Vote("happy", id="x")], timeout_s=TIMEOUT_S))


ASKED: dict[str, Callable[[Submitter], Coroutine[Any, Any, Any]]] = {
    "votes": lambda submitter: submitter.cast([Vote("happy", id="x")], timeout_s=5),
    "a whole request": lambda submitter: submitter.cast_once("k", [Vote("happy")], timeout_s=5),
    "a poll": lambda submitter: submitter.set_poll_state("mood", "closed", timeout_s=5),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
@in_virtual_time
async def test_what_the_state_machine_refused_surely_changed_nothing(
    ask: Callable[[Submitter], Coroutine[Any, Any, Any]],
) -> None:
    replica, submitter = await mood()
    replica.held = []
    asking = asyncio.ensure_future(ask(submitter))
    while not replica.held:
        await asyncio.sleep(0)
    replica.held[0][1].set_result(Applied(3, 0, [[Refused("it cannot be read")]], (), ()))
    with pytest.raises(QuorateError, match="Refused") as refused:
        await asking
    assert (500, True) == (refused.value.status, refused.value.definite)


@in_virtual_time
async def test_a_full_queue_refuses_at_once_and_for_sure() -> None:
    replica = LocalReplica()
    submitter = Submitter(replica, waiting_bytes_max=10_000)
    replica.held = []
    votes = [asyncio.ensure_future(submitter.cast([Vote("happy", id="x")], timeout_s=1)) for _ in range(1000)]
    done, pending = await asyncio.wait(votes, timeout=0.1)
    assert pending
    assert done
    assert {Overloaded} == {type(vote.exception()) for vote in done}
    assert 10_000 >= submitter.waiting_bytes
    submitter.stop()
    replica.lead(None)
    await asyncio.gather(*votes, return_exceptions=True)
    assert 0 == submitter.waiting_bytes


@in_virtual_time
async def test_big_requests_share_no_entry_that_would_be_too_big() -> None:
    """Otherwise small requests in the same entry would be refused as too large."""
    replica, submitter = await mood()
    replica.held = []
    stuck = await one_after_another(submitter, ["s0", "s1"], timeout_s=5)  # what comes now waits together
    votes = [[Vote(f"{who}-{i:05}".ljust(120, "é"), poll="é" * 60) for i in range(8_000)] for who in range(3)]
    big = [asyncio.ensure_future(submitter.cast(each, timeout_s=5)) for each in votes]
    big.append(asyncio.ensure_future(submitter.cast_once("k", votes[0], timeout_s=5)))
    small = asyncio.ensure_future(submitter.cast([Vote("happy", id="x")], timeout_s=5))
    texts_bytes = sum(len(vote.option.encode()) for each in votes for vote in each)
    async with asyncio.timeout(TIMEOUT_S):
        while submitter.waiting_bytes <= texts_bytes:
            await asyncio.sleep(0)
    sizes = []
    while replica.held or not small.done():
        for data, answer in replica.held.copy():
            sizes.append(len(data))
            replica.commit(data, answer)
            replica.held.remove((data, answer))
        await asyncio.sleep(0)
    assert ENTRY_BYTES_MAX > max(sizes)
    await asyncio.gather(*stuck, *big, return_exceptions=True)
    assert 0 == submitter.waiting_bytes


@in_virtual_time
async def test_a_stopping_node_refuses_for_sure() -> None:
    replica, submitter = await mood()
    replica.lead(None)
    vote = asyncio.ensure_future(submitter.cast([Vote("happy", id="x")], timeout_s=5))
    await asyncio.sleep(0)
    submitter.stop()
    with pytest.raises(NotReady):
        await vote
    with pytest.raises(NotReady):
        await submitter.cast([Vote("happy")], timeout_s=5)


@in_virtual_time
async def test_a_node_that_knows_no_cluster_yet_takes_no_votes() -> None:
    submitter = Submitter(LocalReplica(form=False))
    with pytest.raises(NotReady):
        await submitter.cast([Vote("happy")], timeout_s=TIMEOUT_S)


@in_virtual_time
async def test_a_command_counts_as_it_was_submitted() -> None:
    """A command is encoded once, when it is submitted, and not again when its batch leaves."""
    replica, submitter = await mood()
    poll = CreatePoll("lunch", "Lunch?", ["soup", "cake"], "open", None, False)
    made = asyncio.ensure_future(submitter.create_poll(poll, timeout_s=TIMEOUT_S))
    await asyncio.sleep(0)
    poll.options.append("salad")
    await made
    assert {"soup": 0, "cake": 0} == replica.state.results("lunch")


@in_virtual_time
async def test_commands_and_votes_share_an_entry_in_order() -> None:
    replica, submitter = await mood()
    before = len(replica.proposed)
    vote, (made, _), (window, version) = await asyncio.gather(
        submitter.cast([Vote("happy", id="x")], timeout_s=TIMEOUT_S),
        submitter.create_poll(
            CreatePoll("lunch", "Lunch?", ["soup", "cake"], "open", None, False), timeout_s=TIMEOUT_S
        ),
        submitter.command(entry.SetDedupWindow(5), timeout_s=TIMEOUT_S),
    )
    assert ("created", entry.Done(5)) == (made.what, window)
    assert vote.version == version
    assert 1 == len(replica.proposed) - before
