"""Which batches leave together, and that heavy ones let light ones pass."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.submit import departures
from quorate.cluster.submit.departures import HEAVY_BYTES, REST, REST_MAX_S, Departures, PendingBatch
from quorate.cluster.submit.submitter import VERY_MANY
from quorate.vote import Tallied, Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import on_loop
from tests.unit.submit.one_poll import TIMEOUT_S, mood, one_after_another

AN_ENTRY = 1024 * 1024


class Waiting:
    """Batches that wait, by a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.departures = Departures(lambda: self.now_s)
        self._names: dict[int, str] = {}
        self._groups: dict[str, list[PendingBatch]] = {}

    def add(self, name: str, size: int) -> None:
        batch = PendingBatch(bytes(size), 0.0, asyncio.get_running_loop().create_future())
        self._names[id(batch)] = name
        self.departures.add(batch)

    def light(self, name: str) -> None:
        self.add(name, 100)

    def heavy(self, name: str) -> None:
        self.add(name, HEAVY_BYTES)

    def take(self) -> str:
        """The names of those that leave together."""
        group = self.departures.take(AN_ENTRY)
        names = "".join(self._names[id(batch)] for batch in group)
        self._groups[names] = group
        return names

    def end(self, names: str) -> float:
        return self.departures.ended(self._groups.pop(names))


@on_loop
async def test_without_light_batches_heavy_ones_leave_together_and_at_once() -> None:
    waiting = Waiting()
    for name in "ABC":
        waiting.heavy(name)
    assert ["ABC", ""] == [waiting.take(), waiting.take()]
    waiting.heavy("D")
    assert ["D"] == [waiting.take()]


@on_loop
async def test_while_light_batches_come_one_heavy_is_under_way() -> None:
    waiting = Waiting()
    waiting.light("a")
    assert "a" == waiting.take()
    waiting.heavy("A")
    waiting.heavy("B")
    waiting.light("b")
    assert ["A", "b", ""] == [waiting.take(), waiting.take(), waiting.take()]
    waiting.light("c")
    assert ["c", ""] == [waiting.take(), waiting.take()]


@on_loop
async def test_after_a_heavy_batch_the_next_rests_while_light_ones_come() -> None:
    waiting = Waiting()
    waiting.light("a")
    waiting.take()
    for name in "AB":
        waiting.heavy(name)
    assert "A" == waiting.take()
    waiting.now_s += 0.01
    assert REST * 0.01 == round(waiting.end("A"), 6)
    waiting.light("b")
    assert ["b", ""] == [waiting.take(), waiting.take()]
    waiting.now_s += REST * 0.01 + 0.001
    assert "B" == waiting.take()
    waiting.now_s += 100.0
    assert 0.0 == waiting.end("B")  # none waits


@on_loop
async def test_no_rest_is_long() -> None:
    waiting = Waiting()
    waiting.light("a")
    waiting.take()
    for name in "AB":
        waiting.heavy(name)
    waiting.take()
    waiting.now_s += 60.0
    assert REST_MAX_S == round(waiting.end("A"), 6)


@on_loop
async def test_neither_kind_keeps_the_other_from_leaving() -> None:
    """What is neither light nor heavy comes without an end, and so do heavy batches."""
    waiting, left = Waiting(), ""
    for turn in range(20):
        waiting.add("m", 20_000)
        waiting.heavy("A")
        left += waiting.take()[:1]
        waiting.now_s += 1.0
        assert turn < 2 or {"A", "m"} == set(left[-2:])


@on_loop
async def test_a_leader_that_is_deposed_holds_no_heavy_batch_back() -> None:
    """What it proposed may stay open for as long as it is cut off."""
    waiting = Waiting()
    waiting.light("a")
    waiting.take()
    for name in "AB":
        waiting.heavy(name)
    assert ["A", ""] == [waiting.take(), waiting.take()]
    waiting.departures.forget_under_way()
    assert "B" == waiting.take()


# ---- requests with very many votes ----------------------------------------------------------------------------------


def many(count: int = VERY_MANY) -> list[Vote]:
    """Some with ids and some without, some for an option that is not there."""
    options = ["happy", "sad", "angry"]
    return [Vote(options[n % 3], id=f"v{n}" if n % 2 else None, weight=1 + n % 2) for n in range(count)]


@on_loop
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


@on_loop
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


@on_loop
async def test_a_client_that_leaves_while_its_votes_are_put_into_a_batch_counts_none() -> None:
    replica, submitter = await mood()
    before = len(replica.proposed)
    big = asyncio.ensure_future(submitter.cast(many(), timeout_s=TIMEOUT_S))
    while submitter.waiting_bytes == 0:
        await asyncio.sleep(0)
    big.cancel()
    await asyncio.wait([big])
    assert [0, before] == [submitter.waiting_bytes, len(replica.proposed)]


@on_loop
async def test_while_it_waits_for_a_place_nobody_joins_it_either() -> None:
    replica, submitter = await mood()
    replica.held = []
    await one_after_another(submitter, ["x", "y"], 10.0)  # these have both places
    big = asyncio.ensure_future(submitter.cast(many(), timeout_s=10.0))
    for _ in range(50):
        await asyncio.sleep(0)
    assert submitter._queue._open[-1].is_alone  # it waits
    small = asyncio.ensure_future(submitter.cast([Vote("happy", id="small")], timeout_s=10.0))
    await asyncio.sleep(0)
    assert 2 == len(submitter._queue._open)
    replica.commit_held()
    await asyncio.gather(big, small)


@on_loop
async def test_light_votes_pass_heavy_ones_on_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "LIGHT_S", 1e9)
    replica, submitter = await mood()
    await submitter.cast([Vote("happy")], timeout_s=TIMEOUT_S)
    replica.held = []
    heavy = [asyncio.ensure_future(submitter.cast(heavy_votes(n), timeout_s=10.0)) for n in range(3)]
    await until_held(replica, 1)
    light = asyncio.ensure_future(submitter.cast([Vote("sad", id="light")], timeout_s=10.0))
    await until_held(replica, 2)
    assert [True, False] == [len(each) > HEAVY_BYTES for each, _ in replica.held]
    replica.commit_held()
    answers: list[Tallied] = await asyncio.gather(light, *heavy)
    assert answers[0].version < max(answer.version for answer in answers[1:])


def heavy_votes(number: int) -> list[Vote]:
    return [Vote("happy", id=f"{number}-{n}") for n in range(HEAVY_BYTES // 8)]


async def until_held(replica: LocalReplica, proposals: int) -> None:
    async with asyncio.timeout(10.0):
        while len(replica.held or []) < proposals:
            await asyncio.sleep(0.001)
