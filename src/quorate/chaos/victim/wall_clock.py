"""The wall clock of a victim's process, and what moves it.

Where libfaketime is loaded into the process (`chaos/preload.py` does it), it reads what the clock says from a file, at
each look of anybody in the process: libraries, the database, certificates. Otherwise what the node asks by its seam is
moved, and nothing else. The monotonic clock is left alone by both.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Protocol, SupportsIndex

from quorate.chaos.clock_file import FILE, forget_shared_memory
from quorate.chaos.orders import Orders

CHILDREN_DO_NOT = ("LD_PRELOAD", "FAKETIME_SHARED")


class WallClock(Protocol):
    def now(self, orders: Orders) -> float:
        """Seconds since 1970, as this victim sees them."""

    def follow(self, orders: Orders) -> None:
        """Called with the orders of each moment, again and again."""


class SeamClock:
    def now(self, orders: Orders) -> float:
        now_s = time.time()
        return now_s + _ahead_s(orders, now_s)

    def follow(self, orders: Orders) -> None:
        pass


class PreloadedClock:
    """`file` is where libfaketime looks. It holds over restarts, as orders do."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ahead_s = _written(file)
        self._real_s = time.time() - self._ahead_s - time.monotonic()  # the real wall clock, less the monotonic one

    def now(self, orders: Orders) -> float:
        return time.time()

    def follow(self, orders: Orders) -> None:
        ahead_s = _ahead_s(orders, self._real_s + time.monotonic())
        if ahead_s != self._ahead_s:
            part = self._file.with_name(f"{self._file.name}.part")
            part.write_text(f"{ahead_s:+.6f}")
            os.replace(part, self._file)
            self._ahead_s = ahead_s


def wall_clock(environment: MutableMapping[str, str] | None = None) -> WallClock:
    """Of this process. Called once, before threads begin."""
    variables = os.environ if environment is None else environment
    file = variables.get(FILE)
    if file is None:
        return SeamClock()
    for name in CHILDREN_DO_NOT:
        variables.pop(name, None)
    forget_shared_memory(os.getpid())  # it has it already, and a victim seldom ends in order
    _mend_sleep()
    return PreloadedClock(Path(file))


def _ahead_s(orders: Orders, real_s: float) -> float:
    return orders.ahead_s + orders.drift * max(0.0, real_s - orders.drifts_from_s)


def _written(file: Path) -> float:
    try:
        return float(file.read_text())
    except (FileNotFoundError, ValueError):
        return 0.0


def _mend_sleep() -> None:
    """libfaketime 0.9.10 takes the monotonic deadline of Python's `time.sleep` for one of the wall clock: EINVAL."""
    time.sleep = _sleep


def _sleep(seconds: float | SupportsIndex, /) -> None:
    select.select((), (), (), max(0.0, float(seconds)))
