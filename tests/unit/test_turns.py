"""Big work takes turns, and rests."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from quorate import turns as turns_module
from quorate.turns import ThreadTurns, Turns
from tests.support.on_loop import on_loop


def spin(seconds: float) -> None:
    """Work that takes so much of this thread's own time."""
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


@on_loop
async def test_one_piece_of_big_work_is_done_at_a_time_and_the_loop_rests_after_each() -> None:
    turns, order, slept = Turns(), list[int](), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real_sleep(0)

    real_sleep = asyncio.sleep

    async def work(number: int) -> None:
        async with turns:
            for _ in range(2):
                order.append(number)
                spin(0.002)
                await turns.rest()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        await asyncio.gather(*map(work, range(3)))
    assert [0, 0, 1, 1, 2, 2] == order
    assert sum(slept) >= 6 * 2 * 0.002
    assert sum(second > 0 for second in slept) >= 6


@on_loop
async def test_little_work_rests_only_when_it_has_become_much(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock_s = 100.0

    async def sleep(seconds: float) -> None:
        nonlocal clock_s
        clock_s += seconds
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: clock_s)
    turns, piece_s = Turns(), turns_module.REST_AT_ONCE_S / turns_module.REST / 3.9
    async with turns:
        for _ in range(8):
            clock_s += piece_s
            await turns.rest()
    assert [0, 0, 0, 0] == slept[:4]
    assert [0, 0, 0] == slept[5:8]
    assert pytest.approx([4 * piece_s * turns_module.REST] * 2) == [slept[4], slept[8]]


@on_loop
async def test_the_loop_rests_longer_while_votes_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tallies of 100,000 options took a third of each of three nodes, and votes waited ten times as long."""
    version, clock_s = 1, 100.0
    turns = Turns(lambda: version)

    async def rest_s() -> float:
        nonlocal clock_s
        async with turns:
            clock_s += 0.001
        return turns._rests_until_s - clock_s

    async def sleep(seconds: float) -> None:
        nonlocal clock_s
        clock_s += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: clock_s)
    rests = [await rest_s()]
    clock_s += 1.0
    rests.append(await rest_s())
    clock_s, version = clock_s + 1.0, 2
    rests.append(await rest_s())
    much, little = 0.001 * turns_module.REST_BESIDE_VOTES, 0.001 * turns_module.REST
    assert pytest.approx([much, little, much]) == rests


@on_loop
async def test_who_asks_for_big_work_later_does_not_wait_for_the_rest_after_what_was_done_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, clock_s = Turns(), 1_000.0
    monkeypatch.setattr(time, "perf_counter", lambda: clock_s)
    async with turns:
        clock_s += 0.01
    assert turns._rests_until_s - clock_s > 0.005
    turns._rests_until_s = clock_s - 60
    async with turns:
        assert turns._rests_until_s < turns._began_s
    assert turns._rests_until_s - clock_s < 0.005


@on_loop
async def test_a_turn_comes_free_when_its_owner_leaves_while_it_waits_or_works() -> None:
    turns = Turns()

    async def work() -> None:
        async with turns:
            await asyncio.Event().wait()

    works, waits = asyncio.ensure_future(work()), asyncio.ensure_future(work())
    await asyncio.sleep(0)
    for task in (waits, works):
        task.cancel()
    await asyncio.wait([works, waits])
    async with asyncio.timeout(60):
        async with turns:
            pass


def test_threads_work_one_at_a_time_but_for_those_that_wait() -> None:
    turns, waits, go_on = ThreadTurns(), threading.Event(), threading.Event()

    def waiting() -> None:
        with turns.work(), turns.waiting():
            waits.set()
            assert go_on.wait(60)

    def working() -> None:
        with turns.work():
            go_on.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(waiting)
        assert waits.wait(60)
        pool.submit(working).result(60)
        first.result(60)
    with turns.waiting():
        assert not turns._one.locked(), "who has no turn gives none away"


def test_a_thread_rests_before_the_next_piece_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, slept = ThreadTurns(), list[float]()
    monkeypatch.setattr(turns._never, "wait", slept.append)
    with turns.work():
        spin(0.02)
    assert [0.0] == slept, "its own answer does not wait for that"
    with turns.work():
        pass
    assert 0.0 < slept[1] <= 1.0
