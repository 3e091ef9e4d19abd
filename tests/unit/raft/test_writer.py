"""The disk thread runs operations in order, answers on the loop, is bounded, and can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from quorate.cluster.raft.storage.writer import (
    LEFT_OUT_MAX,
    LEFT_OUT_MIN,
    QUICK_S,
    SLOW_MAX,
    WAIT_MAX_S,
    WAITING_MAX,
    Quickness,
    ThreadWriter,
)
from quorate.errors import Overloaded

DEADLINE_S = 20


@asynccontextmanager
async def disk_thread() -> AsyncIterator[ThreadWriter]:
    loop = asyncio.get_running_loop()
    writer = ThreadWriter(loop)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield writer
    finally:
        writer.stop()
        writer.stop()


def test_operations_run_in_order_off_the_loop_and_are_answered_on_it() -> None:
    ran: list[tuple[int, str]] = []
    answered: list[tuple[object, str]] = []
    over = asyncio.Event()

    def operation(number: int) -> int:
        ran.append((number, threading.current_thread().name))
        return 10 * number

    def done(result: object) -> None:
        answered.append((result, threading.current_thread().name))
        if result == 40:
            over.set()

    async def work() -> None:
        async with disk_thread() as writer:
            for number in range(5):
                writer.run(partial(operation, number), done)
            await over.wait()

    asyncio.run(work())
    assert [(number, "quorate-disk") for number in range(5)] == ran
    assert [(10 * number, "MainThread") for number in range(5)] == answered


def test_an_error_of_an_operation_is_its_result_and_the_thread_goes_on() -> None:
    async def work() -> None:
        answers: asyncio.Queue[object] = asyncio.Queue()
        async with disk_thread() as writer:
            writer.run(partial(int, "no number"), answers.put_nowait)
            writer.run(partial(int, "7"), answers.put_nowait)
            assert isinstance(await answers.get(), ValueError)
            assert 7 == await answers.get()
            with pytest.raises(ValueError, match="no number"):
                writer.wait(partial(int, "no number"), timeout_s=DEADLINE_S)
            assert 7 == writer.wait(partial(int, "7"), timeout_s=DEADLINE_S)

    asyncio.run(work())


def test_a_disk_that_hangs_is_not_waited_for_and_not_queued_on_for_ever() -> None:
    release = threading.Event()

    async def work() -> None:
        async with disk_thread() as writer:
            writer.run(lambda: release.wait(DEADLINE_S), lambda _: None)
            with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
                writer.wait(lambda: None, timeout_s=0.01)
            for _ in range(WAITING_MAX - 1):  # besides the one that waits to be waited for
                writer.run(lambda: None, lambda _: None)
            with pytest.raises(Overloaded):
                writer.run(lambda: None, lambda _: None)
            release.set()

    asyncio.run(work())


def test_stopping_finishes_what_was_handed_in_and_takes_no_more() -> None:
    ran: list[int] = []

    async def work() -> ThreadWriter:
        async with disk_thread() as writer:
            for number in range(10):
                writer.run(partial(ran.append, number), lambda _: None)
        with pytest.raises(RuntimeError, match="stopped"):
            writer.run(lambda: None, lambda _: None)
        return writer

    writer = asyncio.run(work())
    assert list(range(10)) == ran
    assert not writer._thread.is_alive()


def test_a_busy_loop_gets_the_results_of_its_writes() -> None:
    """If it never released the lock, it would get only a few results a second: see `ThreadWriter`."""

    async def work() -> None:
        loop, heard, over = asyncio.get_running_loop(), 0, asyncio.Event()

        def keep_busy() -> None:
            sum(range(3_000))
            if not over.is_set():
                loop.call_soon(keep_busy)

        def again(_: object) -> None:
            nonlocal heard
            heard += 1
            if heard == 200:
                over.set()
            else:
                writer.run(lambda: None, again)

        async with disk_thread() as writer:
            keep_busy()
            again(None)
            await over.wait()

    asyncio.run(work())


# ---- brief operations ---------------------------------------------------------------------------------------------


class Wakes:
    """How often a thread wakes the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> None:
        self.count = 0
        wake = loop.call_soon_threadsafe

        def counted(*arguments: Any) -> asyncio.Handle:
            self.count += 1
            return wake(*arguments)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)


def test_the_loop_waits_for_a_brief_operation_when_its_turn_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr("quorate.cluster.raft.storage.writer.WAIT_MAX_S", DEADLINE_S)

    async def work() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        wakes = Wakes(monkeypatch, loop)

        def done(result: object) -> None:
            happened.append(f"done: {result}")
            over.set()

        async with disk_thread() as writer:
            writer.run(lambda: happened.append(threading.current_thread().name), done, brief=True)
            happened.append("the rest of the turn")
            await over.wait()
            assert wakes.count == 0

    asyncio.run(work())
    assert happened == ["the rest of the turn", "quorate-disk", "done: None"]


def test_brief_operations_keep_their_order_with_others() -> None:
    """One that is held back until the end of the turn is not overtaken: not by another, and not by a wait."""
    ran: list[str] = []

    async def work() -> None:
        answers: asyncio.Queue[object] = asyncio.Queue()
        async with disk_thread() as writer:
            for name in ("first", "second"):
                writer.run(partial(ran.append, name), answers.put_nowait, brief=True)
            writer.run(partial(ran.append, "third"), answers.put_nowait)
            writer.run(partial(ran.append, "fourth"), answers.put_nowait, brief=True)
            writer.wait(partial(ran.append, "fifth"), timeout_s=DEADLINE_S)
            assert ["first", "second", "third", "fourth", "fifth"] == ran
            for _ in range(4):
                await answers.get()
            writer.run(partial(ran.append, "held back"), answers.put_nowait, brief=True)

    asyncio.run(work())
    assert ran[5:] == ["held back"], "stopping finishes it"


def test_a_brief_operation_that_fails_tells_its_error() -> None:
    async def work() -> None:
        answers: asyncio.Queue[object] = asyncio.Queue()
        async with disk_thread() as writer:
            writer.run(partial(int, "no number"), answers.put_nowait, brief=True)
            assert isinstance(await answers.get(), ValueError)

    asyncio.run(work())


def test_a_disk_that_turns_slow_has_the_loop_wait_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these operations ends when the loop goes on: after a short wait, and the others without one."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with disk_thread() as writer:
            for _ in range(LEFT_OUT_MIN + 1):
                goes_on, over = threading.Event(), loop.create_future()
                writer.run(partial(goes_on.wait, DEADLINE_S / 2), over.set_result, brief=True)
                loop.call_soon(loop.call_soon, goes_on.set)
                assert await over
                monkeypatch.setattr("quorate.cluster.raft.storage.writer.WAIT_MAX_S", DEADLINE_S)

    asyncio.run(work())


def test_a_slow_disk_is_waited_for_more_and_more_seldom_until_it_is_quick_again() -> None:
    quickness = Quickness()

    def waits(operations: int, waited_s: float) -> int:
        """How many of the operations are waited for, each so long."""
        waited = 0
        for _ in range(operations):
            if quickness.may_wait():
                quickness.note(waited_s)
                waited += 1
        return waited

    assert 100 == waits(100, QUICK_S)
    assert SLOW_MAX == waits(SLOW_MAX + LEFT_OUT_MIN, 2 * QUICK_S), "a few slow ones may have other causes"
    assert 1 == waits(1 + 2 * LEFT_OUT_MIN, WAIT_MAX_S)
    assert 1 == waits(1 + 4 * LEFT_OUT_MIN, WAIT_MAX_S)
    assert waits(100 * LEFT_OUT_MAX, WAIT_MAX_S) < 110
    assert waits(3 * LEFT_OUT_MAX, QUICK_S) >= 2 * LEFT_OUT_MAX
    assert 1 == waits(1 + LEFT_OUT_MIN, WAIT_MAX_S), "as if it had never been slow"
