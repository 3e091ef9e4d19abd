"""Parses big bodies on a thread, so that the loop can send Raft's heartbeats meanwhile. Small ones are parsed at once.

One thread is enough, since the parser holds the interpreter's lock: the loop runs between two bodies and whenever the
interpreter switches threads. After a body the thread rests, before it begins the next (`turns.py`). The number of
waiting bodies is bounded. A further body is refused with `Overloaded`, and nothing of it was counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from quorate.errors import Overloaded
from quorate.turns import ThreadTurns

BIG_BYTES = 64 * 1024
WAITING_MAX = 32

T = TypeVar("T")


class ParsePool:
    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parse")
        self._waiting = 0
        self._turns = ThreadTurns()

    async def parse(self, read: Callable[[bytes], T], body: bytes) -> T:
        """Call `read(body)`: on the loop if the body is small, otherwise on the thread."""
        return read(body) if len(body) < BIG_BYTES else await self.on_thread(read, body)

    async def on_thread(self, read: Callable[[bytes], T], body: bytes) -> T:
        if self._waiting >= WAITING_MAX:
            raise Overloaded("too many big requests wait to be read; try again in a moment, or another node")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_turn, read, body)
        finally:
            self._waiting -= 1

    def _in_turn(self, read: Callable[[bytes], T], body: bytes) -> T:
        with self._turns.work():
            return read(body)

    def stop(self) -> None:
        """Let the present parse end and begin no other. Idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)
