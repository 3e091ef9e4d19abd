"""The disk thread: runs operations that block on the disk, one after another, away from the event loop.

Operations run in the order in which they were given, and their results come back on the loop in the same order. Because
of this order one sync is enough for everything that was written before it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from quorate.errors import Overloaded

T = TypeVar("T")

WAITING_MAX = 64  # operations; the log has at most one write among them, the rest are removals and snapshots
STOP_TIMEOUT_S = 10.0
YIELD_FIRST_S, YIELD_INTERVAL_MAX_S = 0.001, 0.016
YIELD_WAIT_S = 0.000_2


class Writer(Protocol):
    """Runs operations on a disk, in order."""

    def run(self, operation: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        """Run `operation` after those before it; then call `done` on the loop with its result or what it raised."""
        ...

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        """Run `operation` after those before it, and block until it is done. Raises what it raised, or TimeoutError."""
        ...

    def stop(self) -> None:
        """Finish the operations that were given, and end. Idempotent, and bounded in time."""
        ...


class ThreadWriter:
    """One daemon thread. `call_soon` is the loop's `call_soon_threadsafe`; `call_later` is the loop's too.

    With `call_later`, a busy loop gives the thread a chance to get the interpreter's lock, so that it can tell its
    results. CPython does not ensure that: a loop that releases the lock for microseconds, as each system call does,
    always takes it back first (8 groups a second instead of thousands, `bench/journal.py`).
    """

    def __init__(
        self,
        call_soon: Callable[..., object],
        call_later: Callable[..., object] | None = None,
        *,
        name: str = "quorate-disk",
    ) -> None:
        self._call_soon = call_soon
        self._call_later = call_later
        self._submitted = 0  # operations since start; counted by the loop
        self._finished = 0  # counted by the thread
        self._progressed = threading.Event()
        self._yielding = False
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, operation: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        self._put(lambda: self._answer(done, _result_of(operation)))
        if self._call_later is not None and not self._yielding:
            self._yielding = True
            self._call_later(YIELD_FIRST_S, self._yield_lock, YIELD_FIRST_S)

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        answer: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._put(lambda: answer.put(_result_of(operation)))
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
        self._submitted += 1
        self._queue.put(step)

    def _answer(self, done: Callable[[Any], None], result: object) -> None:
        try:
            self._call_soon(done, result)
        except RuntimeError:  # the loop has been closed: nobody waits for the result
            if not self._stopped:
                raise

    def _work(self) -> None:
        while (step := self._queue.get()) is not None:
            step()
            self._finished += 1
            self._progressed.set()

    def _yield_lock(self, after_s: float) -> None:
        """Release the interpreter's lock for a moment. Do it less and less often: the disk may simply be slow."""
        assert self._call_later is not None
        self._progressed.clear()
        if self._finished < self._submitted:
            self._progressed.wait(YIELD_WAIT_S)
        self._yielding = self._finished < self._submitted and not self._stopped
        if self._yielding:
            again_s = min(2 * after_s, YIELD_INTERVAL_MAX_S)
            self._call_later(again_s, self._yield_lock, again_s)


class GuardedWriter:
    """A writer that passes its results through `step`: an error in `done` stops the replica, not the loop."""

    def __init__(self, writer: Writer, step: Callable[..., Any]) -> None:
        self._writer, self._step = writer, step

    def run(self, operation: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        self._writer.run(operation, partial(self._step, done))

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        return self._writer.wait(operation, timeout_s=timeout_s)

    def stop(self) -> None:
        self._writer.stop()


def _result_of(operation: Callable[[], T]) -> T | BaseException:
    try:
        return operation()
    except BaseException as error:
        return error
