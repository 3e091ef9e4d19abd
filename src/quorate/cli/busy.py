"""What is said on a terminal while one waits: nothing for two seconds, then that it goes on."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

SHOWN_AFTER_S = 2.0
FOR_AN_ANSWER = "waiting for an answer of the cluster; Ctrl-C ends that"


@contextlib.contextmanager
def busy(words: str) -> Iterator[None]:
    """For work that prints nothing meanwhile. Nothing is shown where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    line = _BusyLine(words)
    try:
        yield
    finally:
        line.stop()


def waiting() -> contextlib.AbstractContextManager[None]:
    """Around each request of a command."""
    return busy(FOR_AN_ANSWER)


class _BusyLine:
    def __init__(self, words: str) -> None:
        self._words = words
        self._lock = threading.Lock()
        self._is_over = False
        self._status: Status | None = None
        self._timer = threading.Timer(SHOWN_AFTER_S, self._show)
        self._timer.daemon = True
        self._timer.start()

    def _show(self) -> None:
        from rich.console import Console

        with self._lock:
            if not self._is_over:
                self._status = Console(stderr=True, highlight=False).status(self._words)
                self._status.start()

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._is_over = True
            if self._status is not None:
                self._status.stop()
