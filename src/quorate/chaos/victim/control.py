"""The orders of this moment. They are looked at before operations of the disk, and by a slow timer."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from quorate.chaos.orders import ORDERS_NAME, Orders, read_orders
from quorate.chaos.victim.wall_clock import SeamClock, WallClock

LOOK_S = 0.05


class Control:
    """`changed` is called with the orders that the first look found and with each new ones, on any thread."""

    def __init__(self, folder: Path, changed: Callable[[Orders], None], clock: WallClock | None = None) -> None:
        self.folder, self._changed = folder, changed
        self._file = folder / ORDERS_NAME
        self._lock = threading.Lock()
        self._clock = clock or SeamClock()
        self._seen: tuple[int, int] | None = (0, 0)
        self._orders = Orders()
        self.look()
        self._clock.follow(self._orders)

    def watch(self) -> None:
        """Look again and again, until the process ends."""
        threading.Thread(target=self._look_again, name="chaos", daemon=True).start()

    @property
    def orders(self) -> Orders:
        """As the last look found them: for calls that come often."""
        return self._orders

    def look(self) -> Orders:
        seen = self._stamp()
        if seen != self._seen:
            with self._lock:
                if seen != self._seen:
                    self._seen, self._orders = seen, read_orders(self.folder)
                    self._changed(self._orders)
        return self._orders

    def wall(self) -> float:
        """This node's wall clock, in seconds."""
        return self._clock.now(self._orders)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    def _look_again(self) -> None:
        while True:
            time.sleep(LOOK_S)
            with contextlib.suppress(OSError):
                self._clock.follow(self.look())
