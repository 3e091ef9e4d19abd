"""Messages that waited in a queue while their poll was deleted and created anew become dead letters."""

from __future__ import annotations

import time

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CreatePoll
from quorate.ingest import dead_letters
from quorate.ingest.replay import Replay, replay
from quorate.vote import Tallied, Vote
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.on_loop import in_virtual_time
from tests.support.waiting import until
from tests.unit.ingest.test_queue_consumer import AnyQueue, both, consumer, heads

NAMED = b'{"option":"happy","poll":"mood","id":"m1"}'
MIXED = b'[{"option":"happy","poll":"mood"},{"option":"happy"},{"option":"sad","poll":"mood"},{"option":"lost"}]'


async def created(*, again: bool = True) -> LocalCluster:
    counted = await local_cluster()
    counted.replica.state.raise_level(entry.encode_raise(1))
    submitter = counted.submitter
    for state in ("closed", "archived"):
        await submitter.set_poll_state("mood", state, timeout_s=30)
    assert "removed" == (await submitter.delete_poll("mood", None, timeout_s=30))[0].what
    if again:
        poll = CreatePoll("mood", "", ["happy", "sad"], "open", None, False)
        assert "created" == (await submitter.create_poll(poll, timeout_s=30))[0].what
    return counted


@both
@in_virtual_time
async def test_what_is_older_than_the_poll_is_buried_and_the_rest_counts(kind: type[AnyQueue]) -> None:
    queue, counted = kind(NAMED, MIXED), await created()
    queue.sent_ms = int(time.time() * 1000) - 60_000
    async with consumer(queue, counted.submitter, unknown_wait_s=0):
        await until("all are answered", lambda: not queue.unfinished)
    assert {"happy": 1, "sad": 0} == counted.results()  # the vote that names no poll
    assert ["deleted", "deleted", "unknown_option"] == sorted(str(head["reason"]) for head in heads(queue))


@both
@in_virtual_time
async def test_what_is_newer_counts(kind: type[AnyQueue]) -> None:
    queue, counted = kind(NAMED), await created()
    queue.sent_ms = int(time.time() * 1000) + 60_000
    async with consumer(queue, counted.submitter):
        await until("all are answered", lambda: not queue.unfinished)
    assert {"happy": 1, "sad": 0} == counted.results()
    assert [] == heads(queue)


@both
@in_virtual_time
async def test_a_message_for_a_deleted_poll_does_not_wait_for_a_new_one(kind: type[AnyQueue]) -> None:
    queue, counted = kind(NAMED), await created(again=False)
    async with consumer(queue, counted.submitter, unknown_wait_s=60):
        await until("it is answered", lambda: not queue.unfinished)
    assert ["deleted"] == [head["reason"] for head in heads(queue)]


class Box:
    def __init__(self, *letters: bytes) -> None:
        self.letters = [Letter(letter) for letter in letters]
        self._taken = False

    def take(self, count_max: int) -> list[Letter]:
        taken, self._taken = self._taken, True
        return [] if taken else list(self.letters)

    def finish(self, letters: object) -> None:
        self.letters = [each for each in self.letters if each not in letters]  # type: ignore[operator]

    def publish(self, letters: object) -> None:
        raise AssertionError("nothing is rejected")


class Letter:
    def __init__(self, body: bytes) -> None:
        self.body = body


@pytest.mark.parametrize(("sent_ms", "stays"), [(4_999, True), (5_000, False)])
@pytest.mark.parametrize("reason", ["closed", "unknown_poll"])
def test_a_letter_of_an_earlier_poll_is_not_replayed_into_a_new_one(reason: str, sent_ms: int, stays: bool) -> None:
    votes = [(reason, "", Vote("happy", "m1", "mood")), (reason, "", Vote("sad", "m2"))]
    box = Box(*dead_letters.of_votes({"timestamp_ns": sent_ms * 1_000_000}, votes))
    done = Replay()
    replay(box, lambda votes: Tallied(len(votes), 0, [], 1), done, {"mood": 5_000}.__getitem__)
    assert ({"deleted": 1} if stays else {}, not stays) == (dict(done.stay), not box.letters)
    assert (0 if stays else 2) == done.applied
