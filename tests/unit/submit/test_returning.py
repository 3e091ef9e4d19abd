"""Who was answered is waited for a moment, so that all that are back share an entry."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.fsm import Applied
from quorate.cluster.submit.returning import LEFT_OUT_MAX, WAIT_MAX_S, Returning
from quorate.cluster.submit.submitter import Submitter
from quorate.vote import Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import TIMEOUT_S, mood

TOOK_S = 0.002


class Node:
    """Its own clients and the batches of its followers come and are answered, by a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self._returning = Returning()

    def answer(self, clients: int, batches: int = 0, there: tuple[int, int] = (0, 0), took_s: float = TOOK_S) -> None:
        self._returning.answered(clients, batches, self.now_s, took_s, there)

    def wait_s(self, clients: int, batches: int = 0) -> float:
        return self._returning.wait_s(clients, batches, self.now_s) if self._returning.expected else 0.0


def test_those_that_are_back_wait_for_the_others() -> None:
    node = Node()
    node.answer(3, batches=2)
    assert [pytest.approx(TOOK_S)] * 3 == [node.wait_s(1), node.wait_s(3), node.wait_s(2, batches=2)]
    assert 0.0 == node.wait_s(3, batches=2)
    assert 0.0 == node.wait_s(1)  # these come after all have left


def test_those_that_waited_before_the_answer_are_no_answered_ones() -> None:
    node = Node()
    node.answer(3, there=(2, 0))
    assert [pytest.approx(TOOK_S), 0.0] == [node.wait_s(3), node.wait_s(5)]


def test_one_client_alone_never_waits() -> None:
    node = Node()
    for _ in range(5):
        node.answer(1)
        assert 0.0 == node.wait_s(1)


@pytest.mark.parametrize(("took_s", "wait_s"), [(TOOK_S, TOOK_S), (60.0, WAIT_MAX_S), (0.0, 0.0)])
def test_nobody_waits_longer_than_what_ended_took(took_s: float, wait_s: float) -> None:
    node = Node()
    node.answer(2, took_s=took_s)
    assert pytest.approx(wait_s) == node.wait_s(1)
    node.now_s += wait_s - 1e-9  # as a loop's timer may fire
    assert 0.0 == node.wait_s(1)


def test_where_others_come_than_those_that_were_answered_the_wait_is_left_out() -> None:
    """More and more often, until a wait is worth it again."""
    node = Node()

    def left_out() -> int:
        """Answers after which nobody waits, until somebody does. That wait is in vain."""
        for times in range(100):
            node.answer(10)
            if node.wait_s(5):
                node.now_s += WAIT_MAX_S
                assert 0.0 == node.wait_s(5)
                return times
            assert 0.0 == node.wait_s(5)
        raise AssertionError("nobody waits any more")

    assert [0, 1, 3, 7, LEFT_OUT_MAX, LEFT_OUT_MAX] == [left_out() for _ in range(6)]
    for _ in range(LEFT_OUT_MAX):
        node.answer(10)
    node.answer(10)
    assert [pytest.approx(TOOK_S), 0.0] == [node.wait_s(8), node.wait_s(10)]
    assert [0, 1] == [left_out(), left_out()]


# ---- in the queue ---------------------------------------------------------------------------------------------------


async def slow_mood(monkeypatch: pytest.MonkeyPatch) -> tuple[LocalReplica, Submitter]:
    """Each entry takes `TOOK_S`."""
    replica, submitter = await mood()
    loop = asyncio.get_running_loop()

    def propose(data: bytes) -> asyncio.Future[Applied]:
        answer: asyncio.Future[Applied] = loop.create_future()
        loop.call_later(TOOK_S, replica.commit, data, answer)
        return answer

    monkeypatch.setattr(replica, "propose", propose)
    return replica, submitter


async def vote_again_and_again(submitter: Submitter, name: str, times: int, pause_s: float) -> None:
    for time in range(times):
        await submitter.cast([Vote("happy", id=f"{name}{time}")], timeout_s=TIMEOUT_S)
        await asyncio.sleep(pause_s)


@in_virtual_time
async def test_clients_that_are_back_one_after_the_other_share_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    replica, submitter = await slow_mood(monkeypatch)
    before, clients, times = len(replica.proposed), 8, 10
    voters = [vote_again_and_again(submitter, f"c{n}.", times, n * TOOK_S / 10) for n in range(clients)]
    await asyncio.gather(*voters)
    assert times == len(replica.proposed) - before
    assert {"happy": clients * times, "sad": 0} == replica.state.results("mood")


@in_virtual_time
async def test_a_client_alone_has_each_vote_leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, submitter = await slow_mood(monkeypatch)
    began_s = asyncio.get_running_loop().time()
    await vote_again_and_again(submitter, "c", 20, 0.0)
    assert pytest.approx(20 * TOOK_S) == asyncio.get_running_loop().time() - began_s


@in_virtual_time
async def test_a_client_that_does_not_come_back_costs_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    _, submitter = await slow_mood(monkeypatch)
    began_s = asyncio.get_running_loop().time()
    gone = vote_again_and_again(submitter, "a", 1, 0.0)
    await asyncio.gather(gone, vote_again_and_again(submitter, "b", 10, 0.0))
    assert pytest.approx(11 * TOOK_S) == asyncio.get_running_loop().time() - began_s
