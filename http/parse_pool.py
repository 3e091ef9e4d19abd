"""Big bodies are parsed beside the loop, so that heartbeats go on; small ones where they are.

One thread is enough: the parser holds the interpreter anyway, a thread only lets the loop in between two bodies and
while the interpreter switches. What waits is bounded; beyond, `Overloaded`, and nothing was counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from quorate.errors import Overloaded

BIG_BYTES = 64 * 1024
WAITING_MAX = 32

T = TypeVar("T")


class ParsePool:
    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parse")
        self._waiting = 0

    async def parse(self, read: Callable[[bytes], T], body: bytes) -> T:
        """`read(body)`, here if it is small, else on the thread."""
        if len(body) < BIG_BYTES:
            return read(body)
        if self._waiting >= WAITING_MAX:
            raise Overloaded("too many big requests wait to be read; try again in a moment, or another node")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, read, body)
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """Idempotent. What is being read ends; nothing new begins."""
        self._thread.shutdown(wait=False, cancel_futures=True)
