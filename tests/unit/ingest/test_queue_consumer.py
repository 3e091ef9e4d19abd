"""The consumer, with queues that have nothing of NSQ: each message counts once, or is kept as a dead letter."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from quorate.ingest import consumer as consuming
from quorate.ingest.consumer import QueueConsumer
from quorate.ingest.dead_letters import read_letter
from quorate.ingest.source import Caster
from quorate.ingest.troubles import Troubles
from quorate.vote import Tallied, Vote
from tests.support.local_cluster import DyingCaster, local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import until
from tests.unit.ingest.memory_queues import LIMIT, ListQueue, LogQueue, MemoryDelivery

AnyQueue = LogQueue | ListQueue
MemoryConsumer = QueueConsumer[MemoryDelivery]

MANY_VOTES = json.dumps([{"option": "happy"}] * 1_500).encode()

both = pytest.mark.parametrize("kind", [LogQueue, ListQueue])


@asynccontextmanager
async def consumer(
    queue: AnyQueue, caster: Caster, *, hold_s: float = 0.2, unknown_wait_s: float = 0, cast_timeout_s: float = 0.5
) -> AsyncIterator[QueueConsumer[MemoryDelivery]]:
    made: QueueConsumer[MemoryDelivery] = QueueConsumer(
        queue,
        caster,
        Troubles(queue.name),
        source=queue.name,
        cast_timeout_s=cast_timeout_s,
        hold_s=hold_s,
        unknown_wait_s=unknown_wait_s,
    )
    queue.connect(made.take)
    try:
        yield made
    finally:
        await made.stop(1.0)
        queue.disconnect()


def heads(queue: AnyQueue) -> list[dict[str, object]]:
    return [json.loads(letter.partition(b"\n")[0]) for _, letter in queue.letters]


# ---- group and cast -------------------------------------------------------------------------------------------------


@both
@on_loop
async def test_every_message_counts_once_and_is_finished(kind: type[AnyQueue]) -> None:
    queue, counted = kind(*[b"happy"] * 700, *[b"sad"] * 300), await local_cluster()
    async with consumer(queue, counted.submitter) as consumed:
        await until("all are finished", lambda: queue.unfinished == 0)
        metrics = consumed.metrics
    assert {"happy": 700, "sad": 300} == counted.results()
    assert (1_000, 1_000, 1_000, 0) == (metrics.messages, metrics.votes, metrics.applied, metrics.duplicates)
    assert len(counted.replica.proposed) < 100, "messages that arrive together are submitted together"


@both
@on_loop
async def test_a_vote_without_an_id_gets_one_of_its_message(kind: type[AnyQueue]) -> None:
    """So it counts once, though its node died between commit and finish, and the message came again."""
    queue, counted = (
        kind(b"happy", b'[{"option":"sad"},{"option":"sad"}]', b'{"option":"sad","id":"a"}'),
        await local_cluster(),
    )
    dying = DyingCaster(counted.submitter)
    async with consumer(queue, dying) as died:
        await until("all are counted", lambda: dying.counted == 4)
        queue.disconnect()
        await died.stop(0.0)
    async with consumer(queue, counted.submitter) as consumed:
        await until("all came again and are finished", lambda: queue.unfinished == 0)
        assert (0, 4) == (consumed.metrics.applied, consumed.metrics.duplicates)
    assert {"happy": 1, "sad": 3} == counted.results()


@both
@on_loop
async def test_no_more_than_three_groups_are_counted_at_a_time(kind: type[AnyQueue]) -> None:
    queue, counted = kind(*[MANY_VOTES] * 20), await local_cluster()
    counted.replica.held = []
    async with consumer(queue, counted.submitter, hold_s=30) as consumed:
        await until("all have arrived", lambda: consumed.metrics.messages == 20)
        assert 6 * 1_500 == consumed.metrics.votes, "two messages a group: what begins below 2,000 votes joins it"
        held, counted.replica.held = counted.replica.held, None
        for entry, answer in held:
            counted.replica.commit(entry, answer)
        await until("all are finished", lambda: queue.unfinished == 0)
    assert 30_000 == counted.total


@both
@on_loop
async def test_another_choice_is_ignored_where_the_vote_says_so(kind: type[AnyQueue]) -> None:
    first_only = b'{"option":"sad","id":"a","first_only":true}'
    queue, counted = (
        kind(b'{"option":"happy","id":"a"}', first_only, b'{"option":"sad","id":"a"}'),
        await local_cluster(),
    )
    async with consumer(queue, counted.submitter) as consumed:
        await until("all are finished", lambda: queue.unfinished == 0)
        assert (1, 1) == (consumed.metrics.applied, consumed.metrics.duplicates)
    assert ["conflict"] == [head["reason"] for head in heads(queue)], "only of the one that does not say so"
    assert {"happy": 1, "sad": 0} == counted.results()


@both
@on_loop
async def test_a_letter_keeps_that_only_the_first_choice_counts(kind: type[AnyQueue]) -> None:
    vote = b'{"option":"none","id":"a","first_only":true}'
    queue, counted = kind(vote), await local_cluster()
    async with consumer(queue, counted.submitter):
        await until("it is a letter", lambda: bool(queue.letters))
    assert [Vote("none", id="a", first_only=True)] == read_letter(queue.letters[0][1]).votes()


# ---- hold -----------------------------------------------------------------------------------------------------------


@both
@on_loop
async def test_without_a_leader_messages_are_held_given_back_and_flow_again_at_once(kind: type[AnyQueue]) -> None:
    queue, counted = kind(*[b"happy"] * 300), await local_cluster()
    counted.replica.lead(None)
    async with consumer(queue, counted.submitter) as consumed:
        await until("all that came at first is given back", lambda: consumed.metrics.requeued >= LIMIT)
        assert consumed.is_throttled
        await until("one message at a time comes", lambda: len(queue.held) == 1)
        counted.replica.lead("n1")
        await until("all are finished", lambda: queue.unfinished == 0)
        assert not consumed.is_throttled
        assert not queue.throttled
    assert 300 == counted.total


@both
@on_loop
async def test_an_unknown_outcome_is_tried_again_and_counts_once(kind: type[AnyQueue]) -> None:
    queue, counted = kind(*[b"happy"] * 30), await local_cluster()
    counted.replica.held = []
    async with consumer(queue, counted.submitter, hold_s=5) as consumed:
        held = await until("they are proposed", lambda: counted.replica.held)
        for entry, _ in held or ():
            counted.replica.state.apply(entry)  # committed, but the answer is lost
        counted.replica.lead("n2")
        counted.replica.held = None
        counted.replica.lead("n1")
        await until("all are finished", lambda: queue.unfinished == 0)
        assert 30 == consumed.metrics.duplicates
        assert 0 == consumed.metrics.requeued
    assert 30 == counted.total


@on_loop
async def test_what_its_queue_forgot_is_counted_though_it_takes_longer_than_it_may_be_held() -> None:
    queue, counted = ListQueue(*[b"happy"] * 20), await local_cluster()
    counted.replica.lead(None)
    async with consumer(queue, counted.submitter, hold_s=0.2) as consumed:
        await until("all have come", lambda: consumed.metrics.messages == 20)
        queue.forget("odd")
        await until("the others are given back", lambda: consumed.metrics.requeued >= 10)
        counted.replica.lead("n1")
        await until("all are finished", lambda: queue.unfinished == 0 and counted.total == 20)
    assert 10 == queue.forgotten


@on_loop
async def test_what_its_queue_forgot_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "ORPHAN_HOLD_S", 0.4)
    queue, counted = ListQueue(b"happy"), await local_cluster()
    counted.replica.lead(None)
    async with consumer(queue, counted.submitter, hold_s=0.1) as consumed:
        await until("it has come", lambda: consumed.metrics.messages == 1)
        queue.forget("odd")
        await until("the group is given up", lambda: not consumed._groups)
    assert 0 == counted.total


class Broken:
    """Fails as no submitter should."""

    def __init__(self) -> None:
        self.called_s: list[float] = []

    async def cast(self, votes: Sequence[Vote], *, timeout_s: float, sent_ms: Sequence[int] | None = None) -> Tallied:
        self.called_s.append(time.monotonic())
        raise RuntimeError("unheard of")


@both
@on_loop
async def test_an_unexpected_error_is_logged_and_its_messages_come_again_after_a_pause(
    kind: type[AnyQueue], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(consuming, "UNEXPECTED_PAUSE_S", 0.3)
    queue, broken, counted = kind(b"happy"), Broken(), await local_cluster()
    async with consumer(queue, broken) as failing:
        await until("it came again", lambda: len(broken.called_s) >= 2)
        assert broken.called_s[1] - broken.called_s[0] >= 0.3
        assert failing.is_throttled
        assert failing.metrics.requeued >= 1
    assert any(record.exc_info for record in caplog.records)
    async with consumer(queue, counted.submitter):
        await until("another node counts it", lambda: queue.unfinished == 0)
    assert 1 == counted.total


# ---- bury -----------------------------------------------------------------------------------------------------------


@both
@on_loop
async def test_poison_and_rejected_votes_are_kept_and_their_messages_finished(kind: type[AnyQueue]) -> None:
    queue, counted = (
        kind(b"[1]", b'[{"option":"happy"},{"option":"new"}]', b'{"option":"sad","poll":"none"}'),
        await local_cluster(),
    )
    async with consumer(queue, counted.submitter) as consumed:
        await until("all are finished", lambda: queue.unfinished == 0)
        metrics = consumed.metrics
    assert {"happy": 1, "sad": 0} == counted.results()
    assert (1, 3) == (metrics.poison, metrics.dead_letters)
    assert {"unknown_option": 1, "unknown_poll": 1} == metrics.rejected
    assert {"invalid", "unknown_option", "unknown_poll"} == {head["reason"] for head in heads(queue)}
    assert {queue.name} == {head["queue"] for head in heads(queue)}


@both
@on_loop
async def test_rejected_votes_may_be_sent_again_as_they_were_kept(kind: type[AnyQueue]) -> None:
    queue, counted = kind(b"new", b"newer"), await local_cluster()
    async with consumer(queue, counted.submitter):
        await until("all are finished", lambda: queue.unfinished == 0)
    again = [letter.partition(b"\n")[2].strip() for _, letter in queue.letters]
    queue, counted = kind(*again, *again), await local_cluster(["new", "newer"])
    async with consumer(queue, counted.submitter):
        await until("all are finished", lambda: queue.unfinished == 0)
    assert {"new": 1, "newer": 1} == counted.results()


@both
@pytest.mark.parametrize("body", [b"[1]", b"new"], ids=["poison", "a rejected vote"])
@on_loop
async def test_a_message_whose_letter_cannot_be_stored_is_given_back(
    kind: type[AnyQueue], body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    queue, counted = kind(body), await local_cluster()
    queue.letters_fail = dict.fromkeys(("here", "odd"), TimeoutError())
    async with consumer(queue, counted.submitter) as consumed:
        await until("it came again", lambda: consumed.metrics.messages >= 3)
        assert 1 == queue.unfinished
        queue.letters_fail = {}
        await until("it is finished", lambda: queue.unfinished == 0)
    assert 1 == len(queue.letters)
    assert 1 == sum("dead letters could not be published (too slow)" in r.getMessage() for r in caplog.records)


@on_loop
async def test_a_connection_that_stores_no_letters_does_not_hold_up_another() -> None:
    queue, counted = ListQueue(*[b"[1]"] * 10), await local_cluster()
    queue.letters_fail = {"odd": ConnectionError("hung up")}
    async with consumer(queue, counted.submitter):
        await until("the letters of the other are stored", lambda: len(queue.letters) == 5)
        assert 5 == queue.unfinished


@on_loop
async def test_a_flood_of_letters_is_told_in_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    queue, counted = LogQueue(*[b"[1]"] * 1_000), await local_cluster()
    async with consumer(queue, counted.submitter) as consumed:
        await until("all are finished", lambda: queue.unfinished == 0)
        assert 1_000 == consumed.metrics.dead_letters
        assert "invalid" in consumed.last_dead_letter
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) <= 10


# ---- stop -----------------------------------------------------------------------------------------------------------


@both
@on_loop
async def test_stopping_gives_back_what_cannot_be_counted_and_takes_no_more(kind: type[AnyQueue]) -> None:
    queue, counted = kind(*[b"happy"] * 300), await local_cluster()
    counted.replica.lead(None)
    async with consumer(queue, counted.submitter, hold_s=60) as stopping:
        await until("many are held", lambda: len(queue.held) == LIMIT)
        queue.disconnect()
        await stopping.stop(1_000.0)  # it does not wait so long
        await stopping.stop(1_000.0)
        assert (0, 300) == (len(queue.held), queue.unfinished)
        stopping.take([MemoryDelivery(0, b"late", queue.name)])
        assert LIMIT == stopping.metrics.messages
    counted.replica.lead("n1")
    async with consumer(queue, counted.submitter):
        await until("another node counts all", lambda: queue.unfinished == 0)
    assert 300 == counted.total


@both
@on_loop
async def test_stopping_gives_back_what_is_in_no_group_yet(kind: type[AnyQueue]) -> None:
    queue, counted = kind(*[MANY_VOTES] * 20), await local_cluster()
    counted.replica.lead(None)
    async with consumer(queue, counted.submitter, hold_s=60) as stopping:
        await until("all have arrived", lambda: stopping.metrics.messages == 20)
        queue.disconnect()
        await stopping.stop(5.0)
        assert (0, 20) == (len(queue.held), queue.unfinished)


@both
@on_loop
async def test_stopping_waits_for_what_is_being_counted(kind: type[AnyQueue]) -> None:
    queue, counted = kind(b"happy"), await local_cluster()
    counted.replica.held = []
    async with consumer(queue, counted.submitter, cast_timeout_s=10.0) as consumed:
        held = await until("it is proposed", lambda: counted.replica.held)
        queue.disconnect()
        stopping = asyncio.create_task(consumed.stop(5.0))
        await asyncio.sleep(0)
        counted.replica.held = None
        for entry, answer in held or ():
            counted.replica.commit(entry, answer)
        await stopping
    assert (0, 1) == (queue.unfinished, counted.total)
