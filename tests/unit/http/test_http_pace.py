"""So many begin a second; the addresses take turns, and of one the newest goes first."""

from __future__ import annotations

import asyncio

import pytest

from quorate.pace import Pace


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_some_begin_at_once_and_the_next_wait_newest_first() -> None:
    async def main() -> None:
        now_s = 0.0
        pace = Pace(10, 2, lambda: now_s)
        begun: list[str] = []

        async def begin(name: str) -> None:
            await pace.turn("")
            begun.append(name)

        tasks = [asyncio.create_task(begin(name)) for name in "abcdef"]
        await settle()
        assert ["a", "b"] == begun
        tasks[5].cancel()  # who left takes no turn
        now_s = 0.1
        await settle()
        pace._serve()
        await settle()
        assert ["a", "b", "e"] == begun
        now_s = 100.0
        pace._serve()
        await settle()
        assert ["a", "b", "e", "d", "c"] == begun
        now_s = 200.0
        await pace.turn("")
        await pace.turn("")
        pace.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_addresses_take_turns() -> None:
    async def main() -> None:
        now_s = 0.0
        pace = Pace(8, 1, lambda: now_s)
        await pace.turn("flood")
        begun: list[str] = []

        async def begin(key: str) -> None:
            await pace.turn(key)
            begun.append(key)

        tasks = [asyncio.create_task(begin(key)) for key in ["flood"] * 50 + ["a", "b"] + ["flood"] * 50]
        await settle()
        for _ in range(4):
            now_s += 0.125
            pace._serve()
            await settle()
        assert ["a", "b", "flood", "flood"] == sorted(begun)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert 0 == len(pace)
        pace.close()

    asyncio.run(main())


def test_who_waits_when_it_closes_waits_no_more() -> None:
    async def main() -> None:
        pace = Pace(0.001, 0)
        waiting = asyncio.create_task(pace.turn(""))
        await settle()
        pace.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
