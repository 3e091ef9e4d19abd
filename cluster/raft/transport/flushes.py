"""When connections write what they have collected: at the end of the turn of the loop, or of what is sent together.

A system call costs more than sealing a frame, so the frames of one turn go together. But what a step of the engine
sends is complete when it ends, and so is a call. Then nothing is gained by another turn of the loop, which costs a
system call as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType


class Flushes:
    """Of all connections of a node. A context, around what is sent together: it leaves when the outermost one ends."""

    def __init__(self) -> None:
        self._depth = 0  # of contexts
        self._waiting: list[Callable[[], None]] = []

    def add(self, loop: asyncio.AbstractEventLoop, flush: Callable[[], None]) -> None:
        if self._depth:
            self._waiting.append(flush)
        else:
            loop.call_soon(flush)

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._depth -= 1
        if not self._depth and self._waiting:
            waiting, self._waiting = self._waiting, []
            for flush in waiting:
                flush()
