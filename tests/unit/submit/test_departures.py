"""Which batches leave together, and that light ones do not wait for bulk ones."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster import entry
from quorate.cluster.replica import PeerHandler
from quorate.cluster.submit import departures
from quorate.cluster.submit.batch import Batch
from quorate.cluster.submit.batch_queue import LIGHT_SECTION, PLACES
from quorate.cluster.submit.departures import (
    BULK_BYTES,
    GATHER_S,
    GIVING_WAY_BYTES,
    REST,
    REST_MAX_S,
    Departures,
    PendingBatch,
)
from quorate.cluster.submit.open_batches import BATCH_BYTES, LIGHT_BYTES, OpenBatches
from quorate.cluster.submit.submitter import VERY_MANY
from quorate.vote import Tallied, Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import TIMEOUT_S, mood, one_after_another, pair

TOOK_S = 0.01


class Waiting:
    """Batches that wait, by a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.departures = Departures(lambda: self.now_s, lambda: False)
        self._names: dict[int, str] = {}
        self._groups: dict[str, list[PendingBatch]] = {}

    def add(self, names: str, size: int) -> None:
        for name in names:
            batch = PendingBatch(bytes(size), 0.0, asyncio.get_running_loop().create_future())
            self._names[id(batch)] = name
            self.departures.add(batch)

    def light(self, names: str) -> None:
        self.add(names, 100)

    def bulk(self, names: str) -> None:
        self.add(names, GIVING_WAY_BYTES // 2)

    def take(self) -> str:
        """The names of those that leave together."""
        group = self.departures.take(BATCH_BYTES)
        names = "".join(self._names[id(batch)] for batch in group)
        self._groups[names] = group
        return names

    def end(self, names: str) -> float:
        return self.departures.ended(self._groups.pop(names), OpenBatches())


@in_virtual_time
async def test_without_light_batches_bulk_leaves_as_it_comes() -> None:
    waiting = Waiting()
    waiting.bulk("ABC")
    assert ["ABC", ""] == [waiting.take(), waiting.take()]
    waiting.bulk("D")
    assert "D" == waiting.take()


@in_virtual_time
async def test_a_timer_that_fires_a_moment_early_ends_the_gathering() -> None:
    """As loops' timers may, by the resolution of the clock. The next timer came at the same moment, in virtual time for
    ever."""
    waiting = Waiting()
    waiting.light("a")
    waiting.take()
    waiting.now_s += GATHER_S - 1e-9
    assert 0.0 == waiting.departures.gather_s()


@in_virtual_time
async def test_light_batches_gather_until_those_before_have_ended_or_take_long() -> None:
    waiting = Waiting()
    waiting.light("a")
    assert (0.0, "a") == (waiting.departures.gather_s(), waiting.take())
    assert GATHER_S == pytest.approx(waiting.departures.gather_s())
    waiting.now_s += GATHER_S
    assert 0.0 == waiting.departures.gather_s()
    waiting.light("b")
    assert "b" == waiting.take()
    assert GATHER_S == pytest.approx(waiting.departures.gather_s())
    waiting.end("b")
    assert 0.0 == waiting.departures.gather_s()
    waiting.end("a")
    assert 0.0 == waiting.departures.gather_s()


@in_virtual_time
@pytest.mark.parametrize("under_way", [False, True])
async def test_nothing_gathers_beside_bulk(under_way: bool) -> None:
    waiting = Waiting()
    waiting.bulk("A")
    if under_way:
        assert "A" == waiting.take()
    waiting.light("a")
    assert "a" == waiting.take()
    assert 0.0 == waiting.departures.gather_s()


@in_virtual_time
async def test_a_leader_that_is_deposed_gathers_no_more() -> None:
    waiting = Waiting()
    waiting.light("a")
    waiting.take()
    waiting.departures.forget_under_way()
    assert 0.0 == waiting.departures.gather_s()


@in_virtual_time
async def test_votes_that_come_while_an_entry_is_under_way_share_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "GATHER_S", 1e9)
    replica, submitter = await mood()
    before, replica.held = len(replica.proposed), []
    votes = []
    for id in "abc":
        votes.append(asyncio.ensure_future(submitter.cast([Vote("happy", id=id)], timeout_s=TIMEOUT_S)))
        await until_held(replica, 1)
        for _ in range(10):
            await asyncio.sleep(0)
    assert 1 == len(replica.held)
    replica.commit_held()
    await asyncio.gather(*votes)
    assert 2 == len(replica.proposed) - before


@in_virtual_time
async def test_votes_wait_no_longer_for_an_entry_that_takes_long() -> None:
    replica, submitter = await mood()
    replica.held = []
    votes = await one_after_another(submitter, ["a", "b"], 10.0)
    assert 2 == len(replica.held)
    replica.commit_held()
    await asyncio.gather(*votes)


@in_virtual_time
async def test_each_kind_has_a_place_where_both_wait() -> None:
    waiting = Waiting()
    waiting.bulk("A")
    waiting.light("ab")
    assert ["ab", "A"] == [waiting.take(), waiting.take()]
    for _ in range(5):  # whatever comes, and whichever ends
        waiting.light("c")
        waiting.bulk("B")
        waiting.end("ab" if "ab" in waiting._groups else "c")
        assert "c" == waiting.take()
    waiting.light("d")
    waiting.end("A")
    waiting.now_s += REST_MAX_S
    assert "B" == waiting.take()[:1]


@in_virtual_time
async def test_neither_kind_keeps_the_other_from_leaving() -> None:
    """Batches that are no bulk, but not very light either, make nobody give way."""
    waiting = Waiting()
    left = ""
    for _ in range(10):
        waiting.add("m", LIGHT_BYTES + 1)
        waiting.bulk("A")
        left += waiting.take()[0] + waiting.take()[0]
    assert "mA" * 10 == left


@in_virtual_time
async def test_while_very_light_batches_come_bulk_entries_are_smaller_and_one_is_under_way() -> None:
    waiting = Waiting()
    waiting.light("a")
    waiting.take()
    waiting.bulk("ABCD")
    assert ["AB", ""] == [waiting.take(), waiting.take()]
    waiting.now_s += departures.GIVES_WAY_S
    assert "CD" == waiting.take()  # no light ones have come since


@in_virtual_time
async def test_after_a_bulk_batch_the_next_rests_while_very_light_ones_come() -> None:
    waiting = Waiting()
    waiting.light("a")
    waiting.take()
    waiting.bulk("ABCD")
    assert "AB" == waiting.take()
    waiting.now_s += TOOK_S
    assert REST * TOOK_S == pytest.approx(waiting.end("AB"))
    waiting.light("b")
    assert ["b", ""] == [waiting.take(), waiting.take()]
    waiting.now_s += REST * TOOK_S + 0.001
    assert "CD" == waiting.take()
    assert 0.0 == waiting.end("CD")  # none waits


@pytest.mark.parametrize(
    ("size", "took_s", "rest_s"),
    [(4 * GIVING_WAY_BYTES, TOOK_S, 4 * REST * TOOK_S), (BULK_BYTES + 1, 60.0, REST_MAX_S)],
)
@in_virtual_time
async def test_the_rest_is_longer_after_a_very_big_batch_and_never_long(
    size: int, took_s: float, rest_s: float
) -> None:
    waiting = Waiting()
    waiting.add("AB", size)
    waiting.departures._gives_way_until_s = 1e9
    waiting.take()
    waiting.now_s += took_s
    waiting.bulk("C")
    assert rest_s == pytest.approx(waiting.end("A" if "A" in waiting._groups else "AB"))


@in_virtual_time
async def test_a_leader_that_is_deposed_holds_no_bulk_back() -> None:
    """What it proposed may stay open for as long as it is cut off."""
    waiting = Waiting()
    waiting.light("a")
    waiting.take()
    waiting.bulk("ABCD")
    assert ["AB", ""] == [waiting.take(), waiting.take()]
    waiting.departures.forget_under_way()
    assert "CD" == waiting.take()


# ---- what joins what ------------------------------------------------------------------------------------------------


def join(batches: OpenBatches, size: int, deadline_s: float = 1.0) -> Batch:
    batch = batches.batch_for(size, deadline_s, 0)
    batch.deadline_s = min(batch.deadline_s, deadline_s)
    return batch


@in_virtual_time
async def test_light_requests_join_no_bulk_batch() -> None:
    """Else a single vote waits with thousands of others' votes."""

    batches = OpenBatches()
    light, bulk = join(batches, 100), join(batches, LIGHT_BYTES + 1)
    assert light is not bulk
    assert [light, bulk] == [join(batches, LIGHT_BYTES), join(batches, LIGHT_BYTES + 1)]
    assert [light] == batches.close(bulk=False)
    assert [bulk] == batches.close(bulk=True)


@in_virtual_time
async def test_patient_and_impatient_requests_have_batches_of_their_own() -> None:
    batches = OpenBatches()
    first = [join(batches, 100, deadline_s) for deadline_s in (1.0, 60.0)]
    assert first == [join(batches, 100, deadline_s) for deadline_s in (1.5, 60.5)]
    assert first == batches.close(bulk=True)


# ---- requests with very many votes ----------------------------------------------------------------------------------


def many(count: int = VERY_MANY) -> list[Vote]:
    """Some with ids and some without, some for an option that is not there."""
    options = ["happy", "sad", "angry"]
    return [Vote(options[n % 3], id=f"v{n}" if n % 2 else None, weight=1 + n % 2) for n in range(count)]


@in_virtual_time
async def test_a_request_with_very_many_votes_is_answered_like_a_smaller_one() -> None:
    """It is put into its batch in pieces."""
    (one, big), (other, small) = await mood(), await mood("n2")
    votes = many()
    answer = await big.cast(votes, timeout_s=TIMEOUT_S)
    half = VERY_MANY // 2
    parts = [await small.cast(votes[:half], timeout_s=TIMEOUT_S), await small.cast(votes[half:], timeout_s=TIMEOUT_S)]
    assert [part.applied for part in parts] != [0, 0]
    assert answer.applied == sum(part.applied for part in parts)
    rejected = [
        (place + half * n, r.id, r.reason) for n, part in enumerate(parts) for r in part.rejected for place in [r.index]
    ]
    assert rejected == [(r.index, r.id, r.reason) for r in answer.rejected]
    assert one.state.results("mood") == other.state.results("mood")
    again = await big.cast(votes, timeout_s=TIMEOUT_S)
    assert sum(vote.id is not None and vote.option != "angry" for vote in votes) == again.duplicates


@in_virtual_time
async def test_no_other_request_joins_the_batch_of_one_with_very_many_votes() -> None:
    replica, submitter = await mood()
    before = len(replica.proposed)
    big = asyncio.ensure_future(submitter.cast(many(), timeout_s=TIMEOUT_S))
    while submitter.waiting_bytes == 0:
        await asyncio.sleep(0)
    small = await submitter.cast([Vote("happy", id="small")], timeout_s=TIMEOUT_S)
    assert not big.done()  # it was still being put into its batch
    assert small.version < (await big).version
    assert 2 == len(replica.proposed) - before


@in_virtual_time
async def test_a_client_that_leaves_while_its_votes_are_put_into_a_batch_counts_none() -> None:
    replica, submitter = await mood()
    before = len(replica.proposed)
    big = asyncio.ensure_future(submitter.cast(many(), timeout_s=TIMEOUT_S))
    while submitter.waiting_bytes == 0:
        await asyncio.sleep(0)
    big.cancel()
    await asyncio.wait([big])
    assert [0, before] == [submitter.waiting_bytes, len(replica.proposed)]


@in_virtual_time
async def test_while_it_waits_for_a_place_nobody_joins_it_either() -> None:
    replica, submitter = await mood()
    replica.held = []
    await one_after_another(submitter, ["x", "y"], 10.0)  # these have both places
    big = asyncio.ensure_future(submitter.cast(many(), timeout_s=10.0))
    for _ in range(50):
        await asyncio.sleep(0)
    assert [1, 0] == [len(submitter._queue._open), len(submitter._queue._pending)]  # it waits
    other = asyncio.ensure_future(submitter.cast(many(200), timeout_s=10.0))
    await asyncio.sleep(0)
    assert 2 == len(submitter._queue._open)
    replica.commit_held()
    await asyncio.gather(big, other)


@in_virtual_time
async def test_light_votes_pass_bulk_on_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "GIVES_WAY_S", 1e9)
    replica, submitter = await mood()
    await submitter.cast([Vote("happy")], timeout_s=TIMEOUT_S)
    replica.held = []
    bulk = [asyncio.ensure_future(submitter.cast(bulk_votes(n), timeout_s=10.0)) for n in range(3)]
    await until_held(replica, 1)
    light = asyncio.ensure_future(submitter.cast([Vote("sad", id="light")], timeout_s=10.0))
    await until_held(replica, 2)
    assert [True, False] == [len(each) > BULK_BYTES for each, _ in replica.held]
    replica.commit_held()
    answers: list[Tallied] = await asyncio.gather(light, *bulk)
    assert answers[0].version < max(answer.version for answer in answers[1:])


def bulk_votes(number: int) -> list[Vote]:
    return [Vote("happy", id=f"{number}-{n}") for n in range(BULK_BYTES // 8)]


async def until_held(replica: LocalReplica, proposals: int) -> None:
    async with asyncio.timeout(10.0):
        while len(replica.held or []) < proposals:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("forwards", [False, True])
@in_virtual_time
async def test_light_requests_of_many_clients_are_no_bulk_together(
    forwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need not rest after each entry, as bulk does, because somebody else's batch is very light."""
    monkeypatch.setattr(departures, "GIVES_WAY_S", 1e9)
    leader, submitter = await mood()
    if forwards:
        leader, _, submitter = await pair()
    leader.state.raise_level(entry.encode_raise(1))
    await submitter.cast([Vote("happy")], timeout_s=TIMEOUT_S)
    leader.held, votes = [], []
    for group in range(PLACES):
        for vote in range(BULK_BYTES // 8):
            cast = submitter.cast([Vote("happy", id=f"{group}-{vote}")], timeout_s=10.0)
            votes.append(asyncio.ensure_future(cast))
        await until_held(leader, group + 1)
    assert all(len(each) > BULK_BYTES for each, _ in leader.held)
    leader.commit_held()
    assert {1} == {(await vote).applied for vote in votes}


@pytest.mark.parametrize(("level", "kind"), [(0, "section"), (1, LIGHT_SECTION)])
@in_virtual_time
async def test_a_leader_of_an_older_version_is_sent_what_it_knows(level: int, kind: str) -> None:
    leader, _, submitter = await pair()
    leader.state.level = level
    kinds: list[str] = []
    for each in ("section", LIGHT_SECTION):
        handle = leader.handlers[each]

        async def noted(peer: str, encoded: bytes, each: str = each, handle: PeerHandler = handle) -> bytes:
            kinds.append(each)
            return await handle(peer, encoded)

        leader.handlers[each] = noted
    await submitter.cast([Vote("happy", id="light")], timeout_s=TIMEOUT_S)
    await submitter.cast(bulk_votes(0), timeout_s=TIMEOUT_S)
    assert [kind, "section"] == kinds
