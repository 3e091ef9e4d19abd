"""The disk thread runs operations in order, answers on the loop, is bounded, and can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from quorate.cluster.raft.storage.writer import WAITING_MAX, ThreadWriter
from quorate.errors import Overloaded

DEADLINE_S = 20


@asynccontextmanager
async def disk_thread() -> AsyncIterator[ThreadWriter]:
    loop = asyncio.get_running_loop()
    writer = ThreadWriter(loop.call_soon_threadsafe, loop.call_later)
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
