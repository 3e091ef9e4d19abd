"""The signals that stop this process.

A signal that was ignored when the process started stays ignored. So `nohup` holds what it promises, and Ctrl-C does not
reach what a shell without job control started in the background.
"""

from __future__ import annotations

import math
import signal
import threading
import time

LOOK_S = 0.02
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop_signals() -> list[signal.Signals]:
    """Ask before handlers are installed."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


class SignalledEvent(threading.Event):
    """An event that a signal's handler may set.

    A handler runs in the main thread, between two steps of whatever that does. If it is in `threading.Event.wait`, it
    may hold the event's lock, and `set` would wait for it for ever. So nothing here has a lock: waiting is looking.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        end_s = math.inf if timeout is None else time.monotonic() + timeout
        while not self._is_set and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(LOOK_S, left_s))
        return self._is_set
