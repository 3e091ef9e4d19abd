"""The disk thread: runs what blocks on the disk, one operation after another, off the event loop.

Operations run in the order they were handed in and their results come back on the loop in the same order. The order
is what makes one sync enough for all that was written before it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from quorate.errors import Overloaded

T = TypeVar("T")

WAITING_MAX = 64  # the log has one write under way at a time; the rest are removals and snapshots
STOP_TIMEOUT_S = 10.0


class Writer(Protocol):
    def run(self, operation: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        """Run `operation` after those before it; then call `done` on the loop with its result or what it raised."""
        ...

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        """Run `operation` after those before it, and block until it is done. Raises what it raised, or TimeoutError."""
        ...

    def stop(self) -> None:
        """Let what was handed in finish, and end. Idempotent and bounded."""
        ...


class ThreadWriter:
    """One daemon thread. `call_soon` is the loop's `call_soon_threadsafe`."""

    def __init__(self, call_soon: Callable[..., object], *, name: str = "quorate-disk") -> None:
        self._call_soon = call_soon
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, operation: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        self._put(lambda: self._answer(done, _outcome(operation)))

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        answer: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._put(lambda: answer.put(_outcome(operation)))
        try:
            result = answer.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"the disk did not finish within {timeout_s} s") from None
        if isinstance(result, BaseException):
            raise result
        return result

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._queue.put(None)
        self._thread.join(STOP_TIMEOUT_S)

    def _put(self, step: Callable[[], None]) -> None:
        if self._stopped:
            raise RuntimeError("the disk thread has been stopped")
        if self._queue.qsize() >= WAITING_MAX:
            raise Overloaded(f"{WAITING_MAX} disk operations are waiting already")
        self._queue.put(step)

    def _answer(self, done: Callable[[Any], None], result: object) -> None:
        try:
            self._call_soon(done, result)
        except RuntimeError:  # the loop has been closed: nobody is left to hear it
            if not self._stopped:
                raise

    def _work(self) -> None:
        while (step := self._queue.get()) is not None:
            step()


def _outcome(operation: Callable[[], T]) -> T | BaseException:
    try:
        return operation()
    except BaseException as error:
        return error
