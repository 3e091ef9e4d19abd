"""A limit for each of many waits, by one thread: what waits on a socket wakes at each byte, and may never be done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOKS = 4  # in the time of a limit


class WaitLimit:
    """`late` is called once, in the thread, when a wait has lasted for `seconds`. `stop` ends the thread."""

    def __init__(self, seconds: float, late: Callable[[], None]) -> None:
        self._seconds, self._late = seconds, late
        self._since_s: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="wait limit", daemon=True)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self._since_s = time.monotonic()
        if self._thread.ident is None:
            self._thread.start()
        try:
            yield
        finally:
            self._since_s = None

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds / LOOKS):
            since_s = self._since_s
            if since_s is not None and time.monotonic() - since_s > self._seconds:
                self._late()
                return
