"""So many begin a second, the newest first."""

from __future__ import annotations

import asyncio

import pytest

from quorate.http.pace import Pace


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_some_begin_at_once_and_the_next_wait_newest_first() -> None:
    async def main() -> None:
        now_s = 0.0
        pace = Pace(10, 2, lambda: now_s)
        begun: list[str] = []

        async def begin(name: str) -> None:
            await pace.turn()
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
        await pace.turn()
        await pace.turn()
        pace.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_who_waits_when_it_closes_waits_no_more() -> None:
    async def main() -> None:
        pace = Pace(0.001, 0)
        waiting = asyncio.create_task(pace.turn())
        await settle()
        pace.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
