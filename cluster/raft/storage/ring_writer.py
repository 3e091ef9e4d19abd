"""The writer of a node: the kernel writes groups of the log by itself, and the disk thread does all other operations.

What `Writer` promises holds for both together: operations run in the order in which they were given. So while the
kernel writes, what comes after waits here, and while the thread has something to do, groups of the log go to it, too.
Where the kernel has no ring for this process, or a write on it failed, the thread does everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic, perf_counter
from typing import Any, NamedTuple, TypeVar

from quorate.cluster.raft.storage.ring import NOT_MADE, SHORT, KernelOperation, Ring
from quorate.cluster.raft.storage.writer import STOP_TIMEOUT_S, WAITING_MAX, ThreadWriter
from quorate.errors import Overloaded

T = TypeVar("T")
LOOK_S = 0.05  # the loop may take the result that another thread waits for

log = logging.getLogger(__name__)


class _UnderWay(NamedTuple):
    operation: KernelOperation
    done: Callable[[Any], None]
    began_s: float


class _Ended(NamedTuple):
    operation: KernelOperation
    done: Callable[[Any], None]
    began_s: float
    result: int  # see `Ring.take`
    ended_s: float


class RingWriter:
    """Used on a loop, which must be running when it is made; `wait` and `stop` may be called on any thread.

    Without `uses_ring` the thread does everything.
    """

    def __init__(self, name: str, *, uses_ring: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadWriter(self._loop.call_soon_threadsafe, self._loop.call_later, name=name)
        self._in_thread = 0  # operations whose results were not told yet
        self._ring: Ring | None = None
        self._uses_ring, self._tried = uses_ring, False
        self._under_way: _UnderWay | None = None
        self._held: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()  # until the kernel has written
        self._failure: OSError | None = None  # of the kernel's last write: nothing may be written after it
        self._stopped = False
        self._lock = threading.Lock()  # `wait` may take a result while the loop would

    @property
    def in_kernel(self) -> bool:
        """Whether the kernel writes the log by itself."""
        return self._ring is not None and self._ring.usable

    def run(self, operation: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        if self._under_way is None and not self._held:
            self._begin(operation, done)
        elif len(self._held) < WAITING_MAX:
            self._held.append((operation, done))
        else:
            raise Overloaded(f"{WAITING_MAX} disk operations are waiting already")

    def _begin(self, operation: Callable[[], Any], done: Callable[[Any], None]) -> None:
        if not self._in_thread and isinstance(operation, KernelOperation) and self._begin_in_kernel(operation, done):
            return

        def told(result: Any) -> None:
            self._in_thread -= 1
            done(result)

        self._thread.run(operation, told)
        self._in_thread += 1

    def _begin_in_kernel(self, operation: KernelOperation, done: Callable[[Any], None]) -> bool:
        if not self._tried:
            self._tried = True
            self._open_ring()
        ring = self._ring
        if ring is None or not ring.usable or (writes := operation.kernel_writes()) is None:
            return False
        try:
            ring.begin(writes)
        except OSError as error:
            self._leave(ring)
            log.warning("the kernel does not take writes of the log any more (%s): the disk thread makes them", error)
            return False
        except RuntimeError as error:
            self._leave(ring)
            self._failure = OSError(errno.EIO, f"nobody knows what became of the write before: {error}")
            raise
        self._under_way = _UnderWay(operation, done, perf_counter())
        return True

    def _open_ring(self) -> None:
        if not self._uses_ring:
            log.debug("the disk thread writes the log: raft.io_uring is false")
            return
        try:
            self._ring = Ring()
        except OSError as error:
            log.debug("the disk thread writes the log: there is no io_uring here (%s)", error)
        else:
            log.debug("the kernel writes the log by itself (io_uring)")
            self._loop.add_reader(self._ring.eventfd, self._on_written)

    def _leave(self, ring: Ring) -> None:
        """Use it no more. The kernel may still tell of writes that it cancelled, which nobody reads."""
        ring.usable = False
        self._loop.remove_reader(ring.eventfd)

    def _on_written(self) -> None:
        ended = self._take()
        if ended is not None:
            self._tell(ended)

    def _take(self) -> _Ended | None:
        """What the kernel has ended, for `_tell`."""
        with self._lock:
            if self._ring is None or self._under_way is None or (result := self._ring.take()) is None:
                return None
            if result:
                self._failure = _error_of(result)
            ended, self._under_way = _Ended(*self._under_way, result, perf_counter()), None
        return ended

    def _tell(self, ended: _Ended) -> None:
        """On the loop. Then what waited for this can begin."""
        if ended.result and self._ring is not None:
            self._leave(self._ring)
        if ended.result in NOT_MADE and not self._stopped:
            log.warning("%s: the disk thread makes it, and all others", self._failure)
            self._begin(ended.operation, partial(self._made_again, ended.done))
        elif ended.result:
            ended.done(_error_of(ended.result))
        else:
            ended.operation.written(ended.ended_s - ended.began_s)
            ended.done(None)
        while self._held and self._under_way is None and not self._stopped:
            self._begin(*self._held.popleft())

    def _made_again(self, done: Callable[[Any], None], result: Any) -> None:
        if result is None:
            self._failure = None
        done(result)

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        until_s = monotonic() + timeout_s
        self._settle(until_s)
        if self._failure is not None:  # the loop may not have told it yet
            raise self._failure
        return self._thread.wait(operation, timeout_s=max(0.0, until_s - monotonic()))

    def _settle(self, until_s: float) -> None:
        """Block until the kernel has written. Raises TimeoutError."""
        while (ring := self._ring) is not None and self._under_way is not None:
            if monotonic() > until_s:
                raise TimeoutError("the disk did not finish in time")
            readable = select.poll()  # select() takes no descriptor above 1,023
            readable.register(ring.eventfd, select.POLLIN)
            readable.poll(LOOK_S * 1000)
            if (ended := self._take()) is not None:
                with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits for the result
                    self._loop.call_soon_threadsafe(self._tell, ended)

    def stop(self) -> None:
        self._stopped = True
        with contextlib.suppress(TimeoutError):
            self._settle(monotonic() + STOP_TIMEOUT_S)
        self._thread.stop()
        try:
            self._loop.call_soon_threadsafe(self._close_ring)
        except RuntimeError:
            self._close_ring()

    def _close_ring(self) -> None:
        ring, self._ring = self._ring, None
        if ring is None:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(ring.eventfd)
        ring.close()


def _error_of(result: int) -> OSError:
    """`result` as of `Ring.take`."""
    why = "only a part was written" if result == SHORT else os.strerror(result)
    return OSError(errno.EIO if result == SHORT else result, f"the kernel did not make the write before: {why}")
