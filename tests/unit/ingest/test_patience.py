"""Votes for an option or a poll that nobody knows wait for it, a while and a bounded number at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import accumulate

import pytest

from quorate.cluster.entry import CreatePoll
from quorate.errors import NoLeader, QuorateError
from quorate.ingest import consumer as consuming
from quorate.ingest import patience as waiting
from quorate.ingest.patience import Patience
from quorate.vote import Tallied, Vote
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import until
from tests.unit.ingest.memory_queues import LIMIT, ListQueue, LogQueue, MemoryDelivery
from tests.unit.ingest.test_queue_consumer import AnyQueue, both, consumer, heads

TEA = b'{"option":"yes","poll":"tea","id":"t1"}'
MIXED = b'[{"option":"happy"},{"option":"new"},{"option":"sad","poll":"none"},{"option":"happy","weight":0}]'


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_MIN_S", 0.02)


async def create(counted: LocalCluster, poll: str, *options: str) -> None:
    await counted.submitter.create_poll(CreatePoll(poll, poll, [*options], "open", None, False), timeout_s=30)


class BriefTrouble(NoLeader):
    retry_after_s = 0.01


class Noting:
    """Passes votes on to the cluster and notes which came."""

    def __init__(self, counted: LocalCluster) -> None:
        self._counted = counted
        self.cast_options: list[str] = []
        self.error: QuorateError | None = None

    async def cast(self, votes: Sequence[Vote], *, timeout_s: float, sent_ms: Sequence[int] | None = None) -> Tallied:
        if self.error is not None:
            raise self.error
        self.cast_options += [vote.option for vote in votes]
        return await self._counted.submitter.cast(votes, timeout_s=timeout_s, sent_ms=sent_ms)


@both
@on_loop
async def test_votes_that_come_before_their_poll_are_counted_when_it_is_there(kind: type[AnyQueue]) -> None:
    queue, counted = kind(b"new", TEA, b"happy"), await local_cluster()
    async with consumer(queue, counted.submitter, unknown_wait_s=60) as consumed:
        await until("both wait", lambda: consumed.metrics.deferred >= 4)
        assert 1 == counted.total
        await create(counted, "fresh", "new", "old")
        await create(counted, "tea", "yes", "no")
        await until("all are finished", lambda: queue.unfinished == 0)
        assert (3, 0, 0) == (consumed.metrics.applied, consumed.metrics.duplicates, consumed.metrics.dead_letters)
        assert {} == consumed._patience._since_s, "what is finished is forgotten"
    assert ({"new": 1, "old": 0}, {"yes": 1, "no": 0}) == (counted.results("fresh"), counted.results("tea"))


@both
@on_loop
async def test_of_a_message_that_counted_in_part_only_the_rest_is_tried_again(kind: type[AnyQueue]) -> None:
    queue, counted = kind(MIXED), await local_cluster()
    noting = Noting(counted)
    async with consumer(queue, noting, unknown_wait_s=60) as consumed:
        await until("it is tried again", lambda: consumed.metrics.deferred >= 2)
        await create(counted, "fresh", "new", "old")
        await until("the new option counts", lambda: counted.results("fresh") == {"new": 1, "old": 0})
        consumed._patience._wait_s = 0.0
        await until("it is finished", lambda: queue.unfinished == 0)
        metrics = consumed.metrics
    assert 1 == noting.cast_options.count("happy"), "an id that is submitted again may be out of its window"
    assert ({"happy": 1, "sad": 0}, {"new": 1, "old": 0}) == (counted.results(), counted.results("fresh"))
    assert (2, 0, {"unknown_poll": 1, "invalid": 1}) == (metrics.applied, metrics.duplicates, metrics.rejected)
    assert ["invalid", "unknown_poll"] == [head["reason"] for head in heads(queue)]


@both
@on_loop
async def test_after_the_wait_a_vote_is_a_dead_letter_once(kind: type[AnyQueue]) -> None:
    queue, counted = kind(b"rubbish", TEA, MIXED), await local_cluster()
    async with consumer(queue, counted.submitter, unknown_wait_s=0.2) as consumed:
        await until("all are finished", lambda: queue.unfinished == 0)
        metrics = consumed.metrics
    assert {"unknown_option": 2, "unknown_poll": 2, "invalid": 1} == metrics.rejected
    assert 5 == len(queue.letters)
    assert metrics.deferred >= 3
    assert 0 == metrics.not_deferred


@on_loop
async def test_no_more_wait_than_the_bound_allows_and_good_votes_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, counted = ListQueue(*[b"rubbish"] * 500, *[b"happy"] * 500), await local_cluster()
    async with consumer(queue, counted.submitter, unknown_wait_s=60) as consumed:
        consumed._patience._waiting_max = 30
        await until("the good ones are counted", lambda: counted.total == 500)
        await until("the others are dead", lambda: queue.unfinished == 30)
        assert (470, 470) == (len(queue.letters), consumed.metrics.not_deferred)


@both
@on_loop
async def test_what_waits_here_leaves_most_of_the_queue_to_others(kind: type[AnyQueue]) -> None:
    queue, counted = kind(*[MIXED] * 200), await local_cluster()
    async with consumer(queue, counted.submitter, unknown_wait_s=60) as consumed:
        await until("all good ones are counted", lambda: counted.total == 200)
        await until("most are dead", lambda: consumed.metrics.not_deferred >= 200 - 2 * queue.keeps_max)
        await until("the rest is few", lambda: len(queue.held) <= LIMIT // 2)


@both
@on_loop
async def test_what_waits_here_keeps_its_place_until_the_wait_is_over(kind: type[AnyQueue]) -> None:
    queue, counted = kind(*[MIXED] * 10), await local_cluster()
    queue.keeps_max = 5 if kind is ListQueue else 10  # the list has two connections
    async with consumer(queue, counted.submitter, unknown_wait_s=60) as consumed:
        await until("all are tried again", lambda: consumed.metrics.deferred >= 30)
        assert (0, []) == (consumed.metrics.not_deferred, queue.letters)
        await create(counted, "fresh", "new", "old")
        await until("the new option counts", lambda: counted.results("fresh") == {"new": 10, "old": 0})


@both
@on_loop
async def test_a_long_message_that_waits_here_keeps_its_place(
    kind: type[AnyQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "KEPT_BYTES_MAX", len(MIXED) + 1)
    queue, counted = kind(MIXED, MIXED), await local_cluster()
    async with consumer(queue, counted.submitter, unknown_wait_s=60) as consumed:
        await until("one is tried again", lambda: consumed.metrics.deferred >= 3)
        assert 1 == consumed.metrics.not_deferred, "the other one is too much"
        await create(counted, "fresh", "new", "old")
        await create(counted, "none", "sad", "glad")
        await until("it is finished", lambda: queue.unfinished == 0)
        queue.put(MIXED)
        await until("its place is free again", lambda: queue.unfinished == 0)
        assert 1 == consumed.metrics.not_deferred


@both
@on_loop
async def test_a_conflict_is_not_submitted_again_while_its_message_waits(kind: type[AnyQueue]) -> None:
    queue, counted = kind(b'[{"option":"sad","id":"a"},{"option":"new","id":"b"}]'), await local_cluster()
    await counted.submitter.cast([Vote("happy", "a")], timeout_s=30)
    noting = Noting(counted)
    async with consumer(queue, noting, unknown_wait_s=60) as consumed:
        await until("it is tried again", lambda: consumed.metrics.deferred >= 3)
        await create(counted, "fresh", "new", "old")
        await until("it is finished", lambda: queue.unfinished == 0)
    assert 1 == noting.cast_options.count("sad"), "its id may leave the window, and then it would count"
    assert ["conflict"] == [head["reason"] for head in heads(queue)]


@both
@on_loop
async def test_what_waits_here_is_held_as_others_are_while_nobody_leads(kind: type[AnyQueue]) -> None:
    queue, counted = kind(MIXED), await local_cluster()
    noting = Noting(counted)
    async with consumer(queue, noting, hold_s=0.3, unknown_wait_s=60) as consumed:
        await until("it has waited longer than it may be held", lambda: consumed.metrics.deferred >= 6)
        noting.error = BriefTrouble("nobody leads")
        await until("it is held", lambda: consumed.is_throttled)
        noting.error = None
        await create(counted, "fresh", "new", "old")
        await until("it is counted", lambda: counted.results("fresh") == {"new": 1, "old": 0})
        assert (0, 0) == (consumed.metrics.requeued, consumed.metrics.duplicates)


@both
@on_loop
async def test_stopping_gives_back_what_waits(kind: type[AnyQueue]) -> None:
    queue, counted = kind(MIXED), await local_cluster()
    async with consumer(queue, counted.submitter, unknown_wait_s=60) as consumed:
        await until("it waits", lambda: consumed.metrics.deferred >= 1)
        queue.disconnect()
        await consumed.stop(5.0)
        assert (0, 1, []) == (len(queue.held), queue.unfinished, queue.letters)
    await create(counted, "fresh", "new", "old")
    async with consumer(queue, counted.submitter):
        await until("another node counts it", lambda: queue.unfinished == 0)
    assert ({"happy": 1, "sad": 0}, {"new": 1, "old": 0}) == (counted.results(), counted.results("fresh"))


@on_loop
async def test_what_its_queue_forgot_waits_here() -> None:
    queue, counted = ListQueue(b"new"), await local_cluster()
    counted.replica.held = []
    async with consumer(queue, counted.submitter, hold_s=30, unknown_wait_s=60) as consumed:
        held = await until("it is proposed", lambda: counted.replica.held)
        queue.forget("odd")
        counted.replica.held = None
        for entry, answer in held or ():
            counted.replica.commit(entry, answer)
        await until("it waits", lambda: consumed.metrics.deferred >= 1)
        await create(counted, "fresh", "new", "old")
        await until("it is counted", lambda: counted.results("fresh") == {"new": 1, "old": 0})


def test_the_pauses_double_until_the_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(waiting, "PAUSE_MIN_S", 1.0)
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    patience, pauses = Patience(15), []
    while pause_s := patience.pause_s("m1"):
        pauses.append(pause_s)
        now_s += pause_s
    assert [1, 1, 2, 4, 7] == pauses
    assert [1, 2, 4, 8, 15] == list(accumulate(pauses))
    assert 0 == patience.pause_s("m1"), "the next delivery of the same message does not begin anew"


def test_a_message_that_never_came_back_keeps_no_other_from_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    patience = Patience(15, waiting_max=2)
    for identity in ("m1", "m2"):
        assert patience.admits(identity)
        patience.pause_s(identity)
    assert not patience.admits("m3")
    assert patience.admits("m1")
    now_s += 31
    assert patience.admits("m3")


def test_without_a_wait_nothing_waits() -> None:
    patience = Patience(0)
    assert patience.admits("m1")
    assert 0 == patience.pause_s("m1")
    patience.forget([MemoryDelivery(1, json.dumps("m").encode(), "list")])


def test_kafka_cannot_put_off_one_message() -> None:
    assert set() == LogQueue(b"new").put_off({})
