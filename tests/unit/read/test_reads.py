"""Reads that wait for a leader or for a version, and what they leave behind when they give up."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CreatePoll
from quorate.cluster.fsm import PollView, StateMachine
from quorate.cluster.read import big_tallies, chunks, kept_tallies, version_waits
from quorate.cluster.read import reads as reads_module
from quorate.cluster.read.reads import Reads, Results, Versioned
from quorate.cluster.submit.choices import count_choices
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import NoLeader, OutcomeUnknown, Overloaded, Stale, TooLarge, UnknownPoll
from quorate.turns import Turns
from quorate.vote import Vote
from quorate.words import AGE_UNKNOWN_MS, Level
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import on_loop
from tests.support.waiting import until

LEVELS: tuple[Level, ...] = ("none", "weak", "linearizable")


async def pair() -> tuple[LocalReplica, LocalReplica, Reads]:
    """A leader n1, a follower n2, and the reads of n2. Both have the same state, as after replication."""
    leader, follower = LocalReplica("n1"), LocalReplica("n2")
    poll = CreatePoll("mood", "", ["happy", "sad"], "open", None, False)
    await Submitter(leader).create_poll(poll, timeout_s=60)
    Reads(leader)
    follower.state, follower.leader = leader.state, "n1"
    follower.peers["n1"] = leader
    return leader, follower, Reads(follower)


async def replicate(leader: LocalReplica, follower: LocalReplica) -> None:
    """Have the follower apply all that the leader has."""
    for data in [*leader.formed, *leader.proposed]:
        follower.commit(data, asyncio.get_running_loop().create_future())


@on_loop
async def test_a_read_that_gave_up_waiting_for_a_version_is_forgotten() -> None:
    _, _, reads = await pair()
    for version in (10, 2**62):
        with pytest.raises(Stale):
            await reads.results("mood", level="none", min_version=version, wait_s=0.01)
    assert [] == reads._waits._heap


@on_loop
async def test_the_leader_is_never_asked_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that waited there held a place of the few that nodes have for each other, as long as its client liked."""
    monkeypatch.setattr(reads_module, "ASK_AGAIN_S", 0.02)
    leader, _, reads = await pair()
    serve, at_work, asked = leader.handlers["read"], 0, 0

    async def counted(peer: str, request: bytes) -> bytes:
        nonlocal at_work, asked
        at_work, asked = at_work + 1, asked + 1
        try:
            return await serve(peer, request)
        finally:
            at_work -= 1

    leader.handlers["read"] = counted
    waiting = [asyncio.ensure_future(reads.results("mood", min_version=9, wait_s=20)) for _ in range(10)]
    await until("all have asked", lambda: asked >= 10 and len(reads._waits) == 10)
    assert 0 == at_work
    while leader.state.version < 9:
        await Submitter(leader).cast([Vote("happy")], timeout_s=60)
    assert [9] * 10 == [(await each).version for each in waiting]


@on_loop
async def test_more_reads_than_may_wait_for_versions_are_refused_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(version_waits, "WAITING_MAX", 3)
    leader, _, reads = await pair()
    waiting = [asyncio.ensure_future(reads.results("mood", min_version=2**62, wait_s=20)) for _ in range(3)]
    await until("they wait", lambda: len(reads._waits) == 3)
    with pytest.raises(Overloaded, match="3 reads wait"):
        await reads.results("mood", min_version=2**62, wait_s=20)
    with pytest.raises(Stale):
        await reads.results("mood", min_version=2**62, wait_s=0)
    assert leader.state.version == (await reads.results("mood", min_version=leader.state.version, wait_s=20)).version
    waiting[0].cancel()  # its client has left
    await asyncio.wait([waiting[0]])
    with pytest.raises(Stale):
        await reads.results("mood", min_version=2**62, wait_s=0.01)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    assert (0, []) == (len(reads._waits), reads._waits._heap)


@on_loop
async def test_what_members_have_this_node_wait_for_keeps_no_client_from_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nodes of 0.1.0 ask the leader to wait. One that lies might ask so for ever, a thousand times."""
    monkeypatch.setattr(version_waits, "WAITING_MAX", 3)
    monkeypatch.setattr(reads_module, "FORWARDED_WAIT_MAX_S", 0.5)
    leader, _, _ = await pair()
    reads = Reads(leader)
    asks = msgspec.msgpack.encode
    forwarded = [
        asyncio.ensure_future(leader.handlers["read"]("n2", asks(["results", "mood", "weak", 2**62, wait_s])))
        for wait_s in (1e300, float("inf"), float("nan"))
    ]
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded):
        await leader.handlers["read"]("n2", asks(["results", "mood", "weak", 2**62, 5.0]))
    with pytest.raises(Stale):
        await reads.results("mood", min_version=2**62, wait_s=0.01)
    told = await asyncio.wait_for(asyncio.gather(*forwarded, return_exceptions=True), 5)
    assert [Stale] * 3 == [type(each) for each in told]


@pytest.mark.parametrize("what", ["results", "poll"])
@on_loop
async def test_a_member_that_asks_for_no_poll_is_told_that_there_is_none(what: str) -> None:
    leader, _, _ = await pair()
    with pytest.raises(UnknownPoll):
        await leader.handlers["read"]("n2", msgspec.msgpack.encode([what, None, "weak", 0, 0.0]))


@on_loop
async def test_other_reads_still_wait_for_their_version() -> None:
    leader, _, _ = await pair()
    reads = Reads(leader)
    soon = asyncio.ensure_future(reads.results("mood", min_version=leader.state.version + 1, wait_s=5))
    with pytest.raises(Stale):
        await reads.results("mood", min_version=2**62, wait_s=0.01)
    await Submitter(leader).cast([Vote("happy")], timeout_s=60)
    assert 1 == (await soon).results["happy"]


@on_loop
async def test_an_answer_too_big_to_forward_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads_module, "ENTRY_BYTES_MAX", 10)
    _, _, reads = await pair()
    with pytest.raises(TooLarge, match="ask n1"):
        await reads.results("mood")


@pytest.mark.parametrize("of_a_poll", [True, False])
@on_loop
async def test_the_loop_goes_on_while_a_big_tally_is_put_together(
    of_a_poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes are counted between two chunks of the tally, and none of them is in it."""
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    leader, _, _ = await pair()
    reads, votes = Reads(leader), [Vote(f"o{i}", poll="big" if of_a_poll else None) for i in range(9)]
    await Submitter(leader).create_poll(
        CreatePoll("big", "", [vote.option for vote in votes], "open", None, False), timeout_s=60
    )
    choices, sums = await count_choices(votes)
    vote = entry.encode_batch([entry.CastVotes(choices, plain=[(i, n) for i, (_, n) in enumerate(sums)])])
    reading: list[asyncio.Future[Results]] = []
    while len(reading) < 2 or not all(read.done() for read in reading):
        if len(reading) < 2 and not reads.big._wanted:  # who asks before a tally is begun is given that one
            reading.append(asyncio.ensure_future(reads.results("big")))
            await asyncio.sleep(0)
        leader.state.apply(entry.encode_entry(0, [vote]))
        await asyncio.sleep(0)
    first, second = [read.result() for read in reading]
    assert leader.state.version > second.version > first.version + 3
    for read in (first, second):
        assert 1 == len(set(read.results.values())), read
        assert [vote.option for vote in votes] == list(read.results)
        assert 9 * read.results["o0"] == read.total
    assert second.results["o0"] - first.results["o0"] == second.version - first.version


@on_loop
async def test_the_loop_goes_on_while_a_big_tally_comes_from_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    leader, follower, reads = await pair()
    follower.state = StateMachine()  # it does not know the poll yet
    big = CreatePoll("big", "", [f"o{i}" for i in range(9)], "open", None, False)
    await Submitter(leader).create_poll(big, timeout_s=60)
    await Submitter(leader).cast([Vote("o7"), Vote("o7"), Vote("o8")], timeout_s=60)
    serve, turns = leader.handlers["read"], [0, 0]  # before the leader had answered, and after

    async def answered(peer: str, request: bytes) -> bytes:
        answer = await serve(peer, request)
        turns.append(turns.pop(0))
        return answer

    leader.handlers["read"] = answered
    reading = asyncio.ensure_future(reads.results("big"))
    while not reading.done():
        turns[0] += 1
        await asyncio.sleep(0)
    tally = {o: {"o7": 2, "o8": 1}.get(o, 0) for o in big.options}
    assert Results("big", "open", tally, 3, 4, "weak", AGE_UNKNOWN_MS) == await reading
    assert min(turns) >= 4, turns


async def with_big_polls(leader: LocalReplica, *names: str) -> None:
    for name in names:
        big = CreatePoll(name, "", [f"o{i}" for i in range(9)], "open", None, False)
        await Submitter(leader).create_poll(big, timeout_s=60)


@pytest.mark.parametrize("of_the_leader", ["now", "0.1.0"])
@on_loop
async def test_a_follower_asks_the_leader_for_some_options(of_the_leader: str) -> None:
    """A leader of 0.1.0 gives all of them."""
    leader, _, reads = await pair()
    await Submitter(leader).create_poll(CreatePoll("few", "", ["a", "b", "c"], "open", None, False), timeout_s=60)
    await Submitter(leader).cast([Vote("b")], timeout_s=60)
    serve, answers = leader.handlers["read"], []

    async def answered(peer: str, request: bytes) -> bytes:
        asked = msgspec.msgpack.decode(request)
        answers.append(await serve(peer, msgspec.msgpack.encode(asked[:5]) if of_the_leader == "0.1.0" else request))
        return answers[-1]

    leader.handlers["read"] = answered
    assert [1, None] == await reads.votes_of("few", ["b", "nothing"])
    assert [of_the_leader == "0.1.0"] == [b"\xa1c" in answer for answer in answers]


@on_loop
async def test_more_big_tallies_than_can_be_made_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    monkeypatch.setattr(big_tallies, "WAITING_MAX", 2)
    monkeypatch.setattr(kept_tallies, "POLLS_MAX", 0)
    leader, _, _ = await pair()
    await with_big_polls(leader, "b1", "b2", "b3")
    reads = Reads(leader)
    for _ in range(2):  # places come free again
        answers = await asyncio.gather(*map(reads.results, ("b1", "b2", "b3")), return_exceptions=True)
        assert [Results, Results, Overloaded] == [type(answer) for answer in answers]


@on_loop
async def test_all_who_ask_before_a_big_tally_is_begun_are_given_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred readers cost the loop 25 ms each. Who asks later has a later one: votes may be counted since."""
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    leader, _, _ = await pair()
    await with_big_polls(leader, "big")
    turns = Turns()
    reads = Reads(leader, turns=turns)
    async with turns:
        first = [asyncio.ensure_future(reads.results("big", level=level)) for level in LEVELS for _ in range(50)]
        await until("all wait", lambda: [150] == [wanted.readers for wanted in reads.big._wanted.values()])
    while reads.big._wanted:
        await asyncio.sleep(0)
    await Submitter(leader).cast([Vote("o1")], timeout_s=60)
    later = await reads.results("big")
    assert 1 == len({id((await read).results) for read in first})
    assert {(0, "weak"), (0, "none"), (0, "linearizable")} == {(r.total, r.level) for r in [await f for f in first]}
    assert 1 == later.total


@on_loop
async def test_a_big_tally_that_nobody_waits_for_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    leader, _, _ = await pair()
    await with_big_polls(leader, "big")
    turns = Turns()
    reads = Reads(leader, turns=turns)
    async with turns:
        reading = [asyncio.ensure_future(reads.results("big")) for _ in range(3)]
        await until("one is wanted", lambda: reads.big._wanted)
        for read in reading:
            read.cancel()
        await asyncio.wait(reading)
    assert {} == reads.big._wanted
    assert 0 == (await reads.results("big")).total


@pytest.mark.parametrize("what", ["results", "poll"])
@on_loop
async def test_a_follower_answers_itself_what_would_be_long(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of such answers filled the connection between the nodes: it was broken off, and votes with it."""
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    leader, follower, reads = await pair()
    await with_big_polls(leader, "big")
    follower.state = StateMachine()
    await replicate(leader, follower)
    asked: list[int] = []
    serve = leader.handlers["read"]

    async def measured(peer: str, request: bytes) -> bytes:
        asked.append(0)
        asked.append(len(await serve(peer, request)))
        return bytes(asked[-1])

    leader.handlers["read"] = measured
    await Submitter(leader).cast([Vote("o1")], timeout_s=60)
    reading: asyncio.Future[Results | Versioned[PollView]]
    reading = asyncio.ensure_future(reads.results("big") if what == "results" else reads.poll("big"))
    await until("it has asked for the version", lambda: asked)
    follower.commit(leader.proposed[-1], asyncio.get_running_loop().create_future())
    assert (leader.state.version, [0]) == ((await reading).version, asked)


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
async def test_a_read_may_wait_longer_than_other_calls() -> None:
    leader, follower, reads = await pair()
    follower.call_s = 0.05
    with pytest.raises(Stale):
        await reads.results("mood", min_version=2**62, wait_s=0.3)
    soon = asyncio.ensure_future(reads.results("mood", min_version=leader.state.version + 1, wait_s=10))
    await asyncio.sleep(0.1)
    await Submitter(leader).cast([Vote("happy")], timeout_s=60)
    assert 1 == (await soon).results["happy"]


@on_loop
async def test_the_leader_waits_only_for_the_time_that_an_election_has_left() -> None:
    """Otherwise the leader would wait too long: its answer would come too late, and the reader be told `NoLeader`."""
    _, follower, reads = await pair()
    follower.leader = None
    reading = asyncio.ensure_future(reads.results("mood", min_version=2**62, wait_s=1.2))
    await asyncio.sleep(0.9)
    assert not reading.done()
    follower.leader = "n1"
    with pytest.raises(Stale):
        await reading


@on_loop
async def test_without_a_leader_a_read_is_told_so_in_time() -> None:
    _, follower, reads = await pair()
    follower.leader = None
    with pytest.raises(NoLeader):
        await reads.results("mood", wait_s=0.05)


@pytest.mark.parametrize("level", ["weak", "linearizable"])
@on_loop
async def test_a_list_too_long_to_forward_is_made_by_the_follower(
    level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads_module, "ENTRY_BYTES_MAX", 10)
    leader, _, reads = await pair()
    found = await reads.polls(level=level)
    assert (["mood"], leader.state.version, level) == ([poll.id for poll in found.value], found.version, found.level)


@on_loop
async def test_a_follower_that_lags_lists_the_polls_once_it_has_the_leaders_version() -> None:
    leader, follower, reads = await pair()
    follower.state = StateMachine()
    listing = asyncio.ensure_future(reads.polls(wait_s=30))
    await asyncio.sleep(0.05)
    assert not listing.done()
    await replicate(leader, follower)
    assert ["mood"] == [poll.id for poll in (await listing).value]


@on_loop
async def test_a_follower_that_lags_too_much_has_the_leader_list_the_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads_module, "CATCH_UP_S", 0.01)
    _, follower, reads = await pair()
    follower.state = StateMachine()
    assert ["mood"] == [poll.id for poll in (await reads.polls()).value]
    monkeypatch.setattr(reads_module, "ENTRY_BYTES_MAX", 10)
    with pytest.raises(Stale, match="ask again"):
        await reads.polls()
