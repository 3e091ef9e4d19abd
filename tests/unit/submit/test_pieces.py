"""While small votes come, a request with very many is proposed piece by piece. Each vote still counts once."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.submit.departures import GIVING_WAY_BYTES, REST
from quorate.cluster.submit.light_votes import LIGHT_VOTES, REMEMBERED_S
from quorate.cluster.submit.submitter import VERY_MANY, Submitter
from quorate.cluster.submit.vote_columns import VoteColumns
from quorate.errors import NoLeader, OutcomeUnknown
from quorate.vote import Tallied, Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import TIMEOUT_S, mood, pair, shape

PIECES = 4
PIECE = 750  # of votes with an id, each for a choice of its own
OPTIONS = ["happy", "sad", "angry"]  # nobody knows the last one


def many(count: int = PIECES * PIECE) -> list[Vote]:
    return [Vote(OPTIONS[n % 3], id=f"v{n}", weight=1 + n) for n in range(count)]


def counted(votes: list[Vote]) -> int:
    return sum(vote.weight for vote in votes if vote.option != "angry")


def total(replica: LocalReplica) -> int:
    """Without the light vote."""
    return sum((replica.state.results("mood") or {}).values()) - 1


async def beside_light_votes() -> tuple[LocalReplica, Submitter]:
    replica, submitter = await mood()
    await submitter.cast([Vote("happy")], timeout_s=TIMEOUT_S)
    return replica, submitter


def cast(submitter: Submitter, votes: list[Vote], timeout_s: float = TIMEOUT_S) -> asyncio.Task[Tallied]:
    return asyncio.ensure_future(submitter.cast(votes, timeout_s=timeout_s))


async def entries_of(replica: LocalReplica, submitter: Submitter, votes: list[Vote]) -> int:
    """How many entries these votes make."""
    before = len(replica.proposed)
    await submitter.cast(votes, timeout_s=TIMEOUT_S)
    return len(replica.proposed) - before


async def until_held(replica: LocalReplica, proposals: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while len(replica.held or []) < proposals:
            await asyncio.sleep(0.001)


async def decide_first_piece(replica: LocalReplica) -> None:
    """The next one is held."""
    await until_held(replica, 1)
    replica.commit_held()
    replica.held = []
    await until_held(replica, 1)


@in_virtual_time
async def test_pieces_are_answered_like_one_request() -> None:
    (one, pieces), (_, whole) = await beside_light_votes(), await mood()
    answers = [await cast(submitter, many()) for submitter in (whole, pieces)]
    assert shape(answers[0]) == shape(answers[1])
    assert answers[1].version == one.state.version
    assert counted(many()) == total(one)


@in_virtual_time
async def test_without_light_votes_a_request_is_one_entry() -> None:
    replica, submitter = await mood()
    assert 1 == await entries_of(replica, submitter, many())
    await submitter.cast([Vote("happy")], timeout_s=TIMEOUT_S)
    assert PIECES == await entries_of(replica, submitter, many())
    await asyncio.sleep(REMEMBERED_S)
    assert 1 == await entries_of(replica, submitter, many())


@in_virtual_time
@pytest.mark.parametrize("beyond", [1, LIGHT_VOTES, LIGHT_VOTES + 1])
async def test_the_last_piece_is_not_taken_for_light_votes(beyond: int) -> None:
    """Otherwise requests in pieces would be followed by others in pieces for ever."""
    replica, submitter = await beside_light_votes()
    votes = many(3 * PIECE + beyond)
    assert 3 + (beyond > LIGHT_VOTES) == await entries_of(replica, submitter, votes)
    await asyncio.sleep(REMEMBERED_S)
    assert 1 == await entries_of(replica, submitter, votes)


@in_virtual_time
async def test_votes_without_ids_for_few_options_are_one_entry() -> None:
    """They are a few sums there, and more entries would only take longer."""
    replica, submitter = await beside_light_votes()
    assert 1 == await entries_of(replica, submitter, [Vote(OPTIONS[n % 3]) for n in range(PIECES * PIECE)])


@in_virtual_time
async def test_a_transaction_of_a_redis_client_is_one_entry() -> None:
    replica, submitter = await beside_light_votes()
    before = len(replica.proposed)
    votes = VoteColumns([("happy", None, 1)] * VERY_MANY, [n.to_bytes(8) for n in range(VERY_MANY)])
    await submitter.cast_columns(votes, timeout_s=TIMEOUT_S)
    assert 1 == len(replica.proposed) - before


@in_virtual_time
@pytest.mark.parametrize("by_key", [True, False])
async def test_a_request_that_counts_as_a_whole_is_one_entry(by_key: bool) -> None:
    replica, submitter = await beside_light_votes()
    opened, _ = await submitter.open_producer("p", timeout_s=TIMEOUT_S)
    before, votes = len(replica.proposed), [Vote("happy", weight=1 + n) for n in range(PIECES * PIECE)]
    if by_key:
        await submitter.cast_once("key", votes, timeout_s=TIMEOUT_S)
    else:
        await submitter.cast_session("p", opened.epoch, 1, votes, timeout_s=TIMEOUT_S)
    assert 1 == len(replica.proposed) - before
    assert counted(votes) == total(replica)


@in_virtual_time
async def test_a_follower_learns_of_light_votes_that_came_to_other_nodes() -> None:
    leader, follower, submitter = await pair()
    for listener in follower._applied:
        leader.on_applied(listener)
    before = len(leader.proposed)
    light = await Submitter(leader).cast([Vote("happy")], timeout_s=TIMEOUT_S)
    answer = await cast(submitter, many())
    assert (light.version + PIECES, 1 + PIECES) == (answer.version, len(leader.proposed) - before)


@in_virtual_time
async def test_light_votes_pass_between_two_pieces() -> None:
    replica, submitter = await beside_light_votes()
    replica.held = []
    big = cast(submitter, many())
    await until_held(replica, 1)
    light = cast(submitter, [Vote("sad", id="light")])
    await until_held(replica, 2)  # it does not wait for the piece, and no other piece is under way
    replica.commit_held()
    assert (await light).version < (await big).version


@in_virtual_time
async def test_the_next_piece_leaves_when_the_rest_after_the_last_one_is_over() -> None:
    replica, submitter = await beside_light_votes()
    replica.held = []
    big, loop = cast(submitter, many()), asyncio.get_running_loop()
    await until_held(replica, 1)
    await asyncio.sleep(0.01)
    replica.commit_held()
    replica.held, ended_s = [], loop.time()
    await until_held(replica, 1)
    assert REST * 0.01 == pytest.approx(loop.time() - ended_s, abs=0.005)
    replica.commit_held()
    await big


@in_virtual_time
async def test_requests_that_share_a_batch_are_a_piece_together() -> None:
    replica, submitter = await beside_light_votes()
    replica.held = []
    votes = [cast(submitter, [Vote("happy", id=f"{n} {m}") for m in range(1_000)]) for n in range(6)]
    await until_held(replica, 1)
    longest = max(len(each) for each, _ in replica.held)
    replica.commit_held()
    await asyncio.gather(*votes)
    longest = max(longest, *map(len, replica.proposed))
    assert longest <= GIVING_WAY_BYTES


@in_virtual_time
async def test_a_poll_that_closes_between_two_pieces_refuses_the_others() -> None:
    """Each vote stands alone."""
    replica, submitter = await beside_light_votes()
    replica.held = []
    big = cast(submitter, many())
    await until_held(replica, 1)
    closing = asyncio.ensure_future(submitter.set_poll_state("mood", "closed", timeout_s=TIMEOUT_S))
    await until_held(replica, 2)
    replica.commit_held()
    await closing
    first, others = many()[:PIECE], many()[PIECE:]
    answer = await big
    assert counted(first) == total(replica)
    assert sum(vote.option != "angry" for vote in first) == answer.applied
    assert sum(vote.option != "angry" for vote in others) == sum(each.reason == "closed" for each in answer.rejected)


# ---- what is told if not all pieces are decided ---------------------------------------------------------------------


@in_virtual_time
async def test_leader_lost_between_two_pieces_is_never_called_surely_not() -> None:
    replica, submitter = await beside_light_votes()
    replica.held = []
    big = cast(submitter, many())
    await until_held(replica, 1)
    replica.commit_held()
    replica.lead(None)  # the next piece finds no leader, and none can be expected
    replica.expects_leader = False
    with pytest.raises(OutcomeUnknown, match=f"^{PIECE:,} of {PIECES * PIECE:,} votes were decided; of the others: no"):
        await big
    assert counted(many()[:PIECE]) == total(replica)


@in_virtual_time
async def test_leader_lost_before_the_first_piece_is_surely_not() -> None:
    replica, submitter = await beside_light_votes()
    replica.lead(None)
    replica.expects_leader = False
    with pytest.raises(NoLeader):
        await cast(submitter, many())
    assert 0 == total(replica)


@in_virtual_time
@pytest.mark.parametrize("is_committed", [True, False])
async def test_sent_again_after_a_lost_leader_each_vote_counts_once(is_committed: bool) -> None:
    """The second piece was proposed when the leader died: perhaps the next leader has it."""
    replica, submitter = await beside_light_votes()
    replica.held = []
    big = cast(submitter, many())
    await decide_first_piece(replica)
    ((entry, _),) = replica.held
    replica.lead("n2")
    with pytest.raises(OutcomeUnknown):
        await big
    if is_committed:
        replica.state.apply(entry)
    replica.held = None
    replica.lead("n1")
    again = await cast(submitter, many())
    before = sum(vote.option != "angry" for vote in many()[: PIECE * (2 if is_committed else 1)])
    votes = sum(vote.option != "angry" for vote in many())
    assert (votes - before, before) == (again.applied, again.duplicates)
    assert counted(many()) == total(replica)


@in_virtual_time
async def test_the_rest_of_a_request_is_not_refused_because_others_wait() -> None:
    """It found room when it came. Its client would be told that it is not known what was counted."""
    replica, submitter = await beside_light_votes()
    replica.held = []
    big = cast(submitter, many())
    await until_held(replica, 1)
    submitter._queue._waiting_bytes_max = 1
    replica.commit_held()
    assert PIECES * PIECE == (answer := await big).applied + len(answer.rejected)
    assert 0 == submitter.waiting_bytes


@in_virtual_time
async def test_a_node_that_stops_between_two_pieces_calls_it_unknown() -> None:
    replica, submitter = await beside_light_votes()
    replica.held = []
    big = cast(submitter, many())
    await until_held(replica, 1)
    submitter.stop()
    replica.commit_held()
    with pytest.raises(OutcomeUnknown, match="this node is stopping"):
        await big
    assert 0 == submitter.waiting_bytes


@in_virtual_time
async def test_when_half_its_time_has_gone_the_rest_goes_together() -> None:
    """Light votes pass each piece. A request must not come too late by that."""
    replica, submitter = await beside_light_votes()
    replica.held, before = [], len(replica.proposed)
    big = cast(submitter, many(), timeout_s=2.0)
    await until_held(replica, 1)
    await asyncio.sleep(1.0)
    replica.commit_held()
    answer = await big
    assert 2 == len(replica.proposed) - before
    assert PIECES * PIECE == answer.applied + len(answer.rejected)
