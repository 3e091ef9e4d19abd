"""When connections write what they have collected: at the end of the turn of the loop, or of a step of the engine.

A system call costs more than sealing a frame, so the frames of one turn go together. What a step sends is complete when
it ends, so nothing is gained by another turn of the loop, which costs a system call as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType


class Flushes:
    """Of all connections of a node. As a context, around a step: what it sends leaves at its end."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] | None = None  # None: no step is made

    def add(self, loop: asyncio.AbstractEventLoop, flush: Callable[[], None]) -> None:
        if self._waiting is None:
            loop.call_soon(flush)
        else:
            self._waiting.append(flush)

    def __enter__(self) -> None:
        assert self._waiting is None, "steps are made one after the other"
        self._waiting = []

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        waiting, self._waiting = self._waiting, None
        for flush in waiting or ():
            flush()
