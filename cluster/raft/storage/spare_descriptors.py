"""File descriptors that are kept for the log and the snapshots, whatever else uses up all others of the process.

A process that has used up its descriptors can open no file, and that says nothing about its disk. So a few are kept
open on nothing. A call that finds no descriptor gives one of them up and is tried again; when some are free again, the
kept ones are replaced. If these are used up too, a thread waits until somebody closes something: for the cluster that
is a slow disk, and nothing is lost by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

KEPT = 8  # more than the files that are opened between two moments at which others are free
USED_UP = (errno.EMFILE, errno.ENFILE)  # by this process, or by the whole system
TRY_AGAIN_S = 0.02
SAY_AGAIN_S = 10.0

log = logging.getLogger(__name__)


class SpareDescriptors:
    """Several threads may use it at once."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is any open one, of which copies are kept."""
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._kept: list[int] = []
        self._closed = False
        self._said_s = float("-inf")
        self._refill()

    def use(self, opening: Callable[[], T]) -> T:
        """The result of a call that opens something. On the event loop it fails as the call does, and never waits."""
        short = len(self._kept) < KEPT
        while True:
            try:
                opened = opening()
            except OSError as error:
                if error.errno not in USED_UP or not (self._give_up_one() or self._wait(error)):
                    raise
                short = False  # one of those that are free now was given up a moment ago
            else:
                if short:
                    self._refill()
                return opened

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._closed = True
            while self._kept:
                os.close(self._kept.pop())

    def _give_up_one(self) -> bool:
        with self._lock:
            if not self._kept:
                return False
            os.close(self._kept.pop())
            return True

    def _wait(self, error: OSError) -> bool:
        """Wait a moment. False: nobody may wait here."""
        if self._closed or _on_a_loop():
            return False
        if time.monotonic() - self._said_s > SAY_AGAIN_S:
            self._said_s = time.monotonic()
            log.error("no file can be opened (%s): the disk waits until others are closed", error.strerror)
        time.sleep(TRY_AGAIN_S)
        return True

    def _refill(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            while len(self._kept) < KEPT and not self._closed:
                self._kept.append(os.dup(self._descriptor))


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
