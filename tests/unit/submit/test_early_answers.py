"""Requests with many votes that change nothing: this node answers them, as the log would have."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import ChangePoll, CreatePoll
from quorate.cluster.flush.unknown_votes import names_unknown
from quorate.cluster.fsm import Applied
from quorate.cluster.read.reads import Reads
from quorate.cluster.state.foresight import Foresight
from quorate.cluster.submit.early_answers import AT_ONCE, DRAWN, MANY, VOTE_S
from quorate.cluster.submit.submitter import Submitter
from quorate.cluster.submit.vote_columns import columns_of
from quorate.errors import NoLeader, QuorateError, Rejected
from quorate.vote import Outcome, Tallied, Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import TIMEOUT_S, shape
from tests.unit.submit.test_deleted_polls import create, delete

STRANGE = [Vote(f"strange {number}") for number in range(3 * MANY)]


async def nothing_new(wait_s: float) -> None:
    """All that was committed is applied."""


async def mood(catch_up: Callable[[float], object] | None = nothing_new) -> tuple[LocalReplica, Submitter]:
    replica = LocalReplica()
    replica.state.raise_level(entry.encode_raise(1))
    submitter = Submitter(replica, catch_up=catch_up)  # type: ignore[arg-type]
    await create(submitter)
    return replica, submitter


def logged(replica: LocalReplica, since: int) -> int:
    """How many votes stand in the entries since then."""
    batches = [batch for data in replica.proposed[since:] for batch in entry.decode_entry(data).batches]
    commands = [command for batch in batches for command in entry.decode_batch(batch)]
    votes = [each for each in commands if isinstance(each, entry.CastVotes)]
    return sum(len(each.ids) // 8 + sum(count for _, count in each.plain) for each in votes)


@in_virtual_time
async def test_some_of_them_are_decided_in_a_turn_and_each_turn_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were decided turn after turn, so votes had a third of the loop while ten thousand were."""
    replica, turns = LocalReplica(), list[tuple[int, int]]()
    replica.state.raise_level(entry.encode_raise(1))
    decided, of_hashed = Counter[str](), Foresight.of_hashed

    def noted(foresight: Foresight, votes: Sequence[Any], *given: Any) -> bytes:
        decided["votes"] += len(votes)
        return of_hashed(foresight, votes, *given)

    async def turn(cost_s: float) -> None:
        turns.append((round(cost_s / VOTE_S), decided["votes"]))

    submitter = Submitter(replica, catch_up=nothing_new, turn=turn)
    await create(submitter)
    monkeypatch.setattr(Foresight, "of_hashed", noted)
    await submitter.cast([*STRANGE, *STRANGE], timeout_s=TIMEOUT_S)
    assert [(AT_ONCE, DRAWN), (AT_ONCE, DRAWN + AT_ONCE), (100, DRAWN + 2 * AT_ONCE)] == turns


@in_virtual_time
async def test_votes_for_what_nobody_knows_are_answered_without_the_log_but_for_one() -> None:
    replica, submitter = await mood()
    before = len(replica.proposed)
    tallied = await submitter.cast([*STRANGE, Vote("happy", id="a")], timeout_s=TIMEOUT_S)
    assert (1, 0) == (tallied.applied, tallied.duplicates)
    assert [(place, "unknown_option") for place in range(len(STRANGE))] == [
        (each.index, each.reason) for each in tallied.rejected
    ]
    assert 2 == logged(replica, before), "the vote that counts, and one that makes the leader search its sinks"
    assert {"happy": 1, "sad": 0} == replica.state.results("mood")


@in_virtual_time
async def test_the_leader_hears_of_what_nobody_knows() -> None:
    replica, submitter = await mood()
    heard = []
    replica.on_applied(lambda applied: heard.append(names_unknown(applied.results)))
    await submitter.cast(STRANGE, timeout_s=TIMEOUT_S)
    assert [True] == heard
    heard.clear()
    with pytest.raises(Rejected):
        await submitter.cast_once("k", STRANGE, timeout_s=TIMEOUT_S)
    assert [True] == heard


def many_kinds() -> list[Vote]:
    kinds: list[Callable[[int], Vote]] = [
        lambda n: Vote("happy", f"known {n}"),
        lambda n: Vote("sad", f"known {n}"),
        lambda n: Vote("sad", f"known {n}", first_only=True),
        lambda n: Vote("strange", f"known {n}"),
        lambda n: Vote(f"strange {n}", f"new {n}"),
        lambda n: Vote(f"strange {n}"),
        lambda n: Vote(f"strange {n}", poll="mood", first_only=True),
        lambda n: Vote(f"strange {n}", poll="closed"),
        lambda n: Vote("calm", poll="gone"),
        lambda n: Vote("happy", poll=f"no poll {n}"),
        lambda n: Vote("happy", f"fresh {n}"),
        lambda n: Vote("sad", f"fresh {n}"),
        lambda n: Vote("strange", f"fresh {n}"),
        lambda n: Vote("happy"),
    ]
    return [kind(n) for n in range(20) for kind in kinds]


@in_virtual_time
async def test_all_is_answered_as_the_log_would_have() -> None:
    answers = []
    for catch_up in (nothing_new, None):
        replica, submitter = await mood(catch_up)
        for poll in ("closed", "gone"):
            await submitter.create_poll(CreatePoll(poll, "", ["calm", "rage"], "open", None, False), timeout_s=30)
            await submitter.set_poll_state(poll, "closed", timeout_s=30)
        await submitter.set_poll_state("gone", "archived", timeout_s=30)
        await submitter.delete_poll("gone", None, timeout_s=30)
        await submitter.cast([Vote("happy", f"known {n}") for n in range(20)], timeout_s=30)
        before = len(replica.proposed)
        tallied = await submitter.cast(many_kinds(), timeout_s=30)
        assert (catch_up is None) == (logged(replica, before) == len(many_kinds()))
        told = [(each.index, each.id, each.reason, each.detail) for each in tallied.rejected]
        answers.append((tallied.applied, tallied.duplicates, told, replica.state.results("mood")))
    assert answers[0] == answers[1]


@in_virtual_time
async def test_columns_are_answered_as_other_votes_and_as_the_log_would_have() -> None:
    """500 votes of one pipeline of a Redis client for what no poll has were all in the log."""
    answers = []
    for catch_up in (nothing_new, None):
        replica, submitter = await mood(catch_up)
        await submitter.cast([Vote("happy", f"known {n}") for n in range(20)], timeout_s=1)
        votes = [vote for vote in many_kinds() if not vote.first_only and vote.poll in (None, "mood")]
        before = len(replica.proposed)
        _, outcomes = await submitter.cast_columns(columns_of(votes, submitter.hash_key), timeout_s=1)
        assert (catch_up is None) == (logged(replica, before) == len(votes))
        answers.append((outcomes, replica.state.results("mood")))
    assert answers[0] == answers[1]


@in_virtual_time
async def test_columns_of_what_nobody_knows_have_one_vote_in_the_log() -> None:
    replica, submitter = await mood()
    before, heard = len(replica.proposed), []
    replica.on_applied(lambda applied: heard.append(names_unknown(applied.results)))
    columns = columns_of(STRANGE, submitter.hash_key)
    version, outcomes = await submitter.cast_columns(columns, timeout_s=TIMEOUT_S)
    assert bytes([Outcome.UNKNOWN_OPTION]) * len(STRANGE) == outcomes
    assert (1, [True]) == (logged(replica, before), heard)
    assert version == replica.state.version


@in_virtual_time
async def test_what_was_counted_before_is_no_more_in_the_log() -> None:
    replica, submitter = await mood()
    votes = [Vote("happy", f"v{number}") for number in range(3 * MANY)]
    assert (3 * MANY, 0, []) == shape(await submitter.cast(votes, timeout_s=TIMEOUT_S))
    before = len(replica.proposed)
    assert (0, 3 * MANY, []) == shape(await submitter.cast(votes, timeout_s=TIMEOUT_S))
    assert before == len(replica.proposed)


@in_virtual_time
async def test_few_votes_and_requests_of_which_most_count_go_into_the_log() -> None:
    replica, submitter = await mood()
    for votes in (STRANGE[: MANY - 1], [*STRANGE[:3], *(Vote("happy", f"v{n}") for n in range(10 * MANY))]):
        before = len(replica.proposed)
        await submitter.cast(votes, timeout_s=TIMEOUT_S)
        assert len(votes) == logged(replica, before)


@in_virtual_time
async def test_a_follower_that_is_behind_catches_up_first() -> None:
    leader, submitter = await mood()
    behind = LocalReplica("n2")
    behind.lead("n1")
    behind.peers["n1"] = leader
    loop = asyncio.get_running_loop()

    def apply_next() -> None:
        behind.commit(leader.proposed[len(behind.proposed)], loop.create_future())

    def follow(applied: Applied) -> None:
        loop.call_later(0.05, apply_next)

    behind.state.raise_level(entry.encode_raise(1))
    apply_next()
    leader.on_applied(follow)
    Reads(leader)
    follower = Submitter(behind, catch_up=Reads(behind).catch_up)
    options = [vote.option for vote in STRANGE]
    await submitter.change_poll(ChangePoll("mood", None, options[:-200], False, None), timeout_s=TIMEOUT_S)
    assert behind.state.poll_version("mood") != leader.state.poll_version("mood"), "it is behind"
    tallied = await follower.cast(STRANGE, timeout_s=5)
    assert len(STRANGE) - 200 == tallied.applied
    assert 200 == len(tallied.rejected)


async def no_leader(wait_s: float) -> None:
    raise NoLeader("none is known")


async def too_slow(wait_s: float) -> None:
    raise TimeoutError


@pytest.mark.parametrize("catch_up", [no_leader, too_slow])
@in_virtual_time
async def test_where_this_node_cannot_make_sure_the_log_decides(catch_up: Callable[[float], object]) -> None:
    replica, submitter = await mood(catch_up)
    before = len(replica.proposed)
    assert len(STRANGE) == len((await submitter.cast(STRANGE, timeout_s=TIMEOUT_S)).rejected)
    assert len(STRANGE) == logged(replica, before)
    with pytest.raises(Rejected):
        await submitter.cast_once("k", STRANGE, timeout_s=TIMEOUT_S)


@in_virtual_time
async def test_a_poll_that_comes_while_this_node_makes_sure_is_not_met_by_votes_for_the_deleted_one() -> None:
    anew: list[Submitter] = []

    async def meanwhile(wait_s: float) -> None:
        if anew:
            await create(anew.pop())

    replica, submitter = await mood(meanwhile)
    await delete(submitter, 1)
    anew.append(submitter)
    votes = [Vote("happy", f"v{number}", "mood") for number in range(MANY)]
    reasons = {each.reason for each in (await submitter.cast(votes, timeout_s=TIMEOUT_S)).rejected}
    assert {"deleted"} == reasons
    assert {"happy": 0, "sad": 0} == replica.state.results("mood")


def create_anew(replica: LocalReplica) -> None:
    """Delete the poll, and create another one under its name, in one entry."""
    states = [entry.SetPollState("mood", state) for state in ("closed", "archived")]
    poll = CreatePoll("mood", "", ["happy", "sad"], "open", None, False)
    batch = entry.encode_batch([*states, entry.DeletePoll("mood", None), poll])
    replica.commit(entry.encode_entry(replica.now_ms(), [batch]), asyncio.get_running_loop().create_future())


@pytest.mark.parametrize("fails", [True, False])
@in_virtual_time
async def test_what_goes_into_the_log_says_what_was_known_when_the_request_came(fails: bool) -> None:
    found: list[LocalReplica] = []

    async def meanwhile(wait_s: float) -> None:
        asyncio.get_running_loop().call_soon(create_anew, found[0])  # after the first votes are decided
        if fails:
            await asyncio.sleep(0)
            await no_leader(wait_s)

    replica, submitter = await mood(meanwhile)
    found.append(replica)
    votes = [Vote("happy", f"v{number}", "mood") for number in range(10)]
    tallied = await submitter.cast([*votes, *STRANGE], timeout_s=TIMEOUT_S)
    assert ["deleted"] * 10 == [each.reason for each in tallied.rejected if each.index < 10]
    assert {"happy": 0, "sad": 0} == replica.state.results("mood")


@in_virtual_time
async def test_a_whole_request_with_few_choices_goes_into_the_log() -> None:
    replica, submitter = await mood()
    before = len(replica.proposed)
    with pytest.raises(Rejected):
        await submitter.cast_once("k", [Vote(f"strange {n % 2}") for n in range(3 * MANY)], timeout_s=TIMEOUT_S)
    (batch,) = entry.decode_entry(replica.proposed[before]).batches
    assert [entry.CastOnce] == [type(command) for command in entry.decode_batch(batch)]


@in_virtual_time
async def test_a_whole_request_is_refused_without_the_log_and_uses_nothing_up() -> None:
    replica, submitter = await mood()
    opened, _ = await submitter.open_producer("p", timeout_s=TIMEOUT_S)
    mixed = [Vote("happy"), *STRANGE]

    async def once(votes: Sequence[Vote]) -> Tallied:
        return await submitter.cast_once("k", votes, timeout_s=TIMEOUT_S)

    async def session(votes: Sequence[Vote]) -> Tallied:
        return await submitter.cast_session("p", opened.epoch, 1, votes, timeout_s=TIMEOUT_S)

    for cast in (once, session):
        before = len(replica.proposed)
        with pytest.raises(Rejected) as refused:
            await cast(mixed)
        places = [(each["index"], each["reason"]) for each in refused.value.fields["rejected"]]
        assert [(place + 1, "unknown_option") for place in range(len(STRANGE))] == places
        assert 500 > len(b"".join(replica.proposed[before:]))
        assert (2, 0, []) == shape(await cast([Vote("happy"), Vote("sad")]))
        assert (0, 2, []) == shape(await cast([Vote("happy"), Vote("sad")]))
    with pytest.raises(QuorateError) as other:
        await once(mixed)
    assert not isinstance(other.value, Rejected), "the key was used: that is told, and not what the votes are for"
