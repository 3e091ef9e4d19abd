"""A lock for which callers take turns."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from quorate.fair_lock import FairLock


async def turns_of(lock: FairLock, asked: str, leaves: tuple[int, ...] = ()) -> str:
    """Who had the lock, in order, when each letter of `asked` asked for it. Those at `leaves` leave while they wait."""
    had = []

    async def ask(who: str) -> None:
        await lock.acquire(who)
        had.append(who)
        await asyncio.sleep(0)
        lock.release()

    await lock.acquire("first")
    tasks = [asyncio.ensure_future(ask(who)) for who in asked]
    await asyncio.sleep(0)
    for place in leaves:
        tasks[place].cancel()
    await asyncio.sleep(0)
    lock.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    return "".join(had)


def run(work: Coroutine[Any, Any, str]) -> str:
    return asyncio.run(work)


def test_callers_take_turns() -> None:
    lock = FairLock()
    assert "abcabaaaa" == run(turns_of(lock, "aaaaaabbc"))
    assert "b" == run(turns_of(lock, "b")), "it is free again"


def test_those_who_left_are_passed_over() -> None:
    lock = FairLock()
    assert "aba" == run(turns_of(lock, "aaabb", leaves=(0, 3)))
    assert "" == run(turns_of(lock, "aa", leaves=(0, 1)))
    assert not lock._waiting
    assert not lock._is_held


def test_one_that_leaves_with_the_lock_hands_it_on() -> None:
    async def main() -> str:
        lock, had = FairLock(), list[str]()
        await lock.acquire("a")
        leaving = asyncio.ensure_future(lock.acquire("b"))
        await asyncio.sleep(0)

        async def last() -> None:
            await lock.acquire("c")
            had.append("c")

        waiting = asyncio.ensure_future(last())
        await asyncio.sleep(0)
        lock.release()  # b has it, and does not know yet
        leaving.cancel()
        await waiting
        return "".join(had)

    assert "c" == run(main())
