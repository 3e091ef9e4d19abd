"""From a thread to the node's loop and back, each time with a deadline: the flusher's, and Consul's."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LOOP_S = 10.0  # for the loop to answer


class Deposed(Exception):
    """What the thread was doing is no longer wanted: this node leads no more, or stops."""


class Bridge:
    """Made on the loop, used on the thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_by_s: float | None = None  # monotonic

    @property
    def stopping(self) -> bool:
        return self._stop_by_s is not None

    def stop_by(self, moment_s: float) -> None:
        """From now on nothing may take longer than until then."""
        self._stop_by_s = moment_s

    def left_s(self, limit_s: float) -> float:
        """What one call may take: its limit, and when stopping no more than is left."""
        return limit_s if self._stop_by_s is None else max(0.01, min(limit_s, self._stop_by_s - time.monotonic()))

    def look(self, look: Callable[[], T]) -> T:
        """What `look` returns when called on the loop; it must be quick. Raises what it raises."""

        async def call() -> T:
            return look()

        return self.wait(call())

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the loop. Raises what it raises, `TimeoutError`, or `Deposed` if the loop is no more."""
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
