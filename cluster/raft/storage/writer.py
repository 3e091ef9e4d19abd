"""The disk thread: runs operations that block on the disk, one after another, away from the event loop.

Operations run in the order in which they were given, and their results come back on the loop in the same order. Because
of this order one sync is enough for everything that was written before it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Protocol, TypeVar

from quorate.errors import Overloaded

T = TypeVar("T")

WAITING_MAX = 64  # operations; the log has at most one write among them, the rest are removals and snapshots
STOP_TIMEOUT_S = 10.0
YIELD_FIRST_S, YIELD_INTERVAL_MAX_S = 0.001, 0.016
YIELD_WAIT_S = 0.000_2
WAIT_MAX_S = 0.005  # a twentieth of the shortest election timeout
QUICK_S = 0.001
SLOW_MAX = 8  # in a row; then the disk is slow
LEFT_OUT_MIN, LEFT_OUT_MAX = 16, 1_024  # waits, after the disk was slow


class Writer(Protocol):
    """Runs operations on a disk, in order."""

    def run(
        self, operation: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool = False
    ) -> None:
        """Run `operation` after those before it; then call `done` on the loop with its result or what it raised.

        `brief`: it takes a fraction of a millisecond on a good disk, so the loop may wait for it.
        """
        ...

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        """Run `operation` after those before it, and block until it is done. Raises what it raised, or TimeoutError."""
        ...

    def stop(self) -> None:
        """Finish the operations that were given, and end. Idempotent, and bounded in time."""
        ...


class ThreadWriter:
    """One daemon thread beside `loop`.

    A brief operation is waited for by the loop, while the disk is quick: to wake the loop by a file descriptor, and to
    fight for the interpreter's lock meanwhile, takes longer than the disk. First the turn of the loop comes to its end,
    because what was sent to peers leaves there. A disk that turns slow has the loop wait for `WAIT_MAX_S` once; then it
    goes on without a wait, and tries again after 16 operations, 32, 64 … 1,024.

    When it does not wait, a busy loop gives the thread a chance to get the interpreter's lock (not without
    `steps_aside`), so that it can tell its results. CPython does not ensure that: a loop that releases the lock for
    microseconds, as each system call does, always takes it back first (8 groups a second instead of thousands,
    `bench/journal.py`).
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, name: str = "quorate-disk", steps_aside: bool = True
    ) -> None:
        self._loop = loop
        self._steps_aside = steps_aside
        self._submitted = 0  # operations since start; counted by the loop
        self._finished = 0  # counted by the thread
        self._progressed = threading.Event()
        self._yielding = False
        self._queue: queue.SimpleQueue[tuple[Callable[[], object], Callable[[Any], object]] | None] = (
            queue.SimpleQueue()
        )
        self._stopped = False
        self._held_back: _Brief | None = None  # until the end of this turn
        self._quickness = Quickness()
        self._telling = threading.Lock()
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()  # results that the loop waits for: one at the most
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(
        self, operation: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool = False
    ) -> None:
        is_first = self._finished == self._submitted and self._held_back is None and not self._stopped
        if brief and is_first and self._quickness.may_wait():
            self._held_back = _Brief(operation, done)
            self._loop.call_soon(self._wait_for, self._held_back)
        else:
            self._run_meanwhile(operation, done)

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        answer: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._put(operation, answer.put)
        try:
            result = answer.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"the disk did not finish within {timeout_s} s") from None
        if isinstance(result, BaseException):
            raise result
        return result

    def stop(self) -> None:
        if not self._stopped:
            self._let_go()
            self._stopped = True
            self._queue.put(None)
        self._thread.join(STOP_TIMEOUT_S)

    def _put(self, operation: Callable[[], object], tell: Callable[[Any], object]) -> None:
        """`tell` is called on the thread."""
        self._let_go()
        if self._stopped:
            raise RuntimeError("the disk thread has been stopped")
        if self._queue.qsize() >= WAITING_MAX:
            raise Overloaded(f"{WAITING_MAX} disk operations are waiting already")
        self._submitted += 1
        self._queue.put((operation, tell))

    def _run_meanwhile(self, operation: Callable[[], object], done: Callable[[Any], None]) -> None:
        self._put(operation, partial(self._answer, done))
        self._step_aside_soon()

    def _answer(self, done: Callable[[Any], None], result: object) -> None:
        try:
            self._loop.call_soon_threadsafe(done, result)
        except RuntimeError:  # the loop has been closed: nobody waits for the result
            if not self._stopped:
                raise

    def _work(self) -> None:
        while (step := self._queue.get()) is not None:
            operation, tell = step
            result = _result_of(operation)
            self._finished += 1
            tell(result)
            self._progressed.set()

    # ---- brief operations -------------------------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Another operation follows the one that was held back, or none will."""
        brief, self._held_back = self._held_back, None
        if brief is not None:
            self._run_meanwhile(brief.operation, brief.done)

    def _wait_for(self, brief: _Brief) -> None:
        if brief is not self._held_back:
            return
        self._held_back = None
        began_s = perf_counter()
        self._put(brief.operation, partial(self._tell, brief))
        try:
            result = self._told.get(timeout=WAIT_MAX_S)
        except queue.Empty:
            with self._telling:
                brief.is_awaited = False
            self._quickness.note(WAIT_MAX_S)
            if self._told.empty():
                self._step_aside_soon()
                return
            result = self._told.get_nowait()
        else:
            self._quickness.note(perf_counter() - began_s)
        brief.done(result)

    def _tell(self, brief: _Brief, result: object) -> None:
        with self._telling:
            if brief.is_awaited:
                self._told.put(result)
                return
        self._answer(brief.done, result)

    # ---- the interpreter's lock -------------------------------------------------------------------------------------

    def _step_aside_soon(self) -> None:
        if self._steps_aside and not self._yielding:
            self._yielding = True
            self._loop.call_later(YIELD_FIRST_S, self._yield_lock, YIELD_FIRST_S)

    def _yield_lock(self, after_s: float) -> None:
        """Release the interpreter's lock for a moment. Do it less and less often: the disk may simply be slow."""
        self._progressed.clear()
        if self._finished < self._submitted:
            self._progressed.wait(YIELD_WAIT_S)
        self._yielding = self._finished < self._submitted and not self._stopped
        if self._yielding:
            again_s = min(2 * after_s, YIELD_INTERVAL_MAX_S)
            self._loop.call_later(again_s, self._yield_lock, again_s)


class _Brief:
    __slots__ = ("done", "is_awaited", "operation")

    def __init__(self, operation: Callable[[], object], done: Callable[[Any], None]) -> None:
        self.operation, self.done = operation, done
        self.is_awaited = True


class Quickness:
    """Whether the disk is quick, by the waits for it."""

    def __init__(self) -> None:
        self._slow = 0  # waits in a row
        self._left_out = 0  # waits that are still to be left out
        self._next = LEFT_OUT_MIN  # so many, when it is slow the next time

    def may_wait(self) -> bool:
        if self._left_out:
            self._left_out -= 1
            return False
        return True

    def note(self, waited_s: float) -> None:
        if waited_s <= QUICK_S:
            self._slow = 0
            self._next = max(LEFT_OUT_MIN, self._next - 1)
            return
        self._slow += 1
        if self._slow >= SLOW_MAX or waited_s >= WAIT_MAX_S:
            self._left_out, self._next = self._next, min(2 * self._next, LEFT_OUT_MAX)


class GuardedWriter:
    """A writer that passes its results through `step`: an error in `done` stops the replica, not the loop."""

    def __init__(self, writer: Writer, step: Callable[..., Any]) -> None:
        self._writer, self._step = writer, step

    def run(
        self, operation: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool = False
    ) -> None:
        self._writer.run(operation, partial(self._step, done), brief=brief)

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        return self._writer.wait(operation, timeout_s=timeout_s)

    def stop(self) -> None:
        self._writer.stop()


def _result_of(operation: Callable[[], T]) -> T | BaseException:
    try:
        return operation()
    except BaseException as error:
        return error
