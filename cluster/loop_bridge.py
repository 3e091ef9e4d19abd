"""The way from a thread to the node's loop and back, always with a deadline.

The flusher's thread and Consul's thread use it: state belongs to the loop, so they ask the loop for what they need.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LOOP_S = 10.0  # for the loop to answer


class Deposed(Exception):
    """The thread's work is no longer wanted: this node is not the leader any more, or it stops."""


class LoopBridge:
    """Made on the loop, used on the thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_by_s: float | None = None  # monotonic

    @property
    def stopping(self) -> bool:
        return self._stop_by_s is not None

    def stop_by(self, moment_s: float) -> None:
        """From now on no call lasts beyond this moment (monotonic)."""
        self._stop_by_s = moment_s

    def left_s(self, limit_s: float) -> float:
        """The time one call may take: its limit, and no more than what is left when this node stops."""
        return limit_s if self._stop_by_s is None else max(0.01, min(limit_s, self._stop_by_s - time.monotonic()))

    def call_on_loop(self, function: Callable[[], T]) -> T:
        """Call `function` on the loop and return its result. It must be quick. Raises what it raises."""

        async def call() -> T:
            return function()

        return self.wait(call())

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine on the loop. Raises what it raises, `TimeoutError`, or `Deposed` if the loop has ended."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise Deposed from None
        try:
            return future.result(self.left_s(LOOP_S))
        except concurrent.futures.CancelledError:
            raise Deposed from None
        except TimeoutError:
            raise TimeoutError("this node's own loop did not answer in time") from None
        finally:
            future.cancel()
