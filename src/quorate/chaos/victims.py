"""The orders of all victims of a cluster. Several faults may give orders to one node at once, each its own."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import msgspec

from quorate.chaos.orders import SOUND_MACHINE, CrashOrder, Orders, last_crash, write_orders


class Victims:
    """Any thread may call it. The folder of a node is where its orders go; they hold from the next look on."""

    def __init__(self, base: Orders) -> None:
        """`base` is what holds for each node when nothing is wrong."""
        self._base = base
        self._orders: dict[Path, Orders] = {}
        self._crashes = itertools.count(1)
        self._lock = threading.Lock()

    def begin(self, folder: Path, **base: Any) -> None:
        """Write the first orders of a node, with what is for this node alone."""
        with self._lock:
            self._write(folder, msgspec.structs.replace(self._orders.get(folder, self._base), **base))

    def order(self, folder: Path, **changes: Any) -> None:
        with self._lock:
            self._write(folder, msgspec.structs.replace(self._orders.get(folder, self._base), **changes))

    def take_back(self, folder: Path, *names: str) -> None:
        """These are as on a sound machine again."""
        self.order(folder, **{name: getattr(SOUND_MACHINE, name) for name in names})

    def crash(self, folder: Path, point: str, count: int = 1, *, stops: bool = False) -> CrashOrder:
        order = CrashOrder(max(next(self._crashes), last_crash(folder) + 1), point, count, stops)
        self.order(folder, crash=order)
        return order

    def write_again(self, folder: Path) -> None:
        """The folder was emptied."""
        with self._lock:
            self._write(folder, self._orders.get(folder, self._base))

    def heal(self) -> None:
        """Every machine is sound."""
        with self._lock:
            for folder, orders in self._orders.items():
                self._write(
                    folder,
                    msgspec.structs.replace(
                        self._base,
                        doors=orders.doors,
                        keep_bytes=orders.keep_bytes,
                        segment_bytes=orders.segment_bytes,
                        seed=orders.seed,
                    ),
                )

    def _write(self, folder: Path, orders: Orders) -> None:
        self._orders[folder] = orders
        write_orders(folder, orders)
