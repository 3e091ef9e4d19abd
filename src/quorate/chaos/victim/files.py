"""The disk of a victim: real files, with the faults that its orders name.

While it holds back, unsynced writes stay in this process, and some of their blocks reach the disk early and in any
order, as a kernel writes back at any time. So a kill is a loss of power. After a failed sync no later one writes the
data that it could not write, as on Linux.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time

from quorate.chaos.orders import Orders
from quorate.chaos.victim.control import Control
from quorate.chaos.victim.torn_writes import overwrite, survivors
from quorate.cluster.raft.storage.files import DiskFiles

EARLY = 0.3  # the share of unsynced writes of which some blocks reach the disk early
SYNC_MAX_S = 0.01  # of a disk that holds back: the power may fail in the middle of a sync
LOOK_S = 0.02  # at whether a disk still hangs


class VictimFiles:
    """`DiskFiles` above others. Several threads may use it at once, each on files of its own."""

    def __init__(self, disk: DiskFiles, control: Control) -> None:
        self.where = disk.where
        self._disk, self._control = disk, control
        self._lock = threading.RLock()
        self._rng = random.Random(f"{control.orders.seed}.{os.getpid()}")
        self._unsynced: dict[str, list[tuple[int, bytes]]] = {}  # held back, oldest first
        self._new: set[str] = set()  # of these, files whose name is not on the disk for sure
        self._room: int | None = None
        self._room_order: int | None = None

    def names(self) -> list[str]:
        with self._lock:
            return list(dict.fromkeys([*self._disk.names(), *self._new]))

    def size(self, name: str) -> int:
        with self._lock:
            pieces = self._unsynced.get(name)
            if not pieces:
                return self._disk.size(name)
            return max(self._size_on_disk(name), *(offset + len(data) for offset, data in pieces))

    def read(self, name: str) -> bytes:
        with self._lock:
            pieces = self._unsynced.get(name)
            if not pieces:
                return self._disk.read(name)
            there = bytearray(self._disk.read(name) if name in self._disk.names() else b"")
            for offset, data in pieces:
                overwrite(there, offset, data)
            return bytes(there)

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        with self._lock:
            if not self._unsynced.get(name):
                return self._disk.read_at(name, offset, size)
            return self.read(name)[offset : offset + size]

    def write(self, name: str, offset: int, data: bytes, *, durable: bool = False) -> None:
        orders = self._control.look()
        self._use_room(name, offset, data, orders)
        holds = orders.holds_back or bool(self._unsynced.get(name))
        if not holds:
            if durable:
                self._wait_for_disk(orders)
            self._disk.write(name, offset, data, durable=durable)
            return
        with self._lock:
            if name not in self._disk.names():
                self._new.add(name)
            self._unsynced.setdefault(name, []).append((offset, bytes(data)))
            if not durable and self._rng.random() < EARLY:
                self._arrive(name, [(offset, bytes(data))])
        if durable:
            self.sync(name)

    def sync(self, name: str) -> None:
        orders = self._control.look()
        with self._lock:
            pieces = list(self._unsynced.get(name, ()))
        try:
            self._wait_for_disk(orders)
        except OSError:
            with self._lock:
                self._unsynced.pop(name, None)
            raise
        if pieces:
            self._arrive(name, pieces)
            time.sleep(self._rng.uniform(0, SYNC_MAX_S))
        with self._lock:
            for offset, data in self._unsynced.pop(name, ()):
                self._disk.write(name, offset, data)
            self._new.discard(name)
        self._disk.sync(name)

    def truncate(self, name: str, size: int) -> None:
        self.sync(name)
        self._give_room(max(0, self._size_on_disk(name) - size))
        self._disk.truncate(name, size)

    def replace(self, old: str, new: str) -> None:
        self._control.look()
        with self._lock:
            if old in self._new:
                self._disk.write(old, 0, b"")  # of a file that was never synced, only the name is renamed
                self._new.discard(old)
            self._unsynced.pop(new, None)
            self._new.discard(new)
            if (pieces := self._unsynced.pop(old, None)) is not None:
                self._unsynced[new] = pieces
        self._disk.replace(old, new)

    def remove(self, name: str) -> None:
        self._control.look()
        self._give_room(self.size(name))
        with self._lock:
            self._unsynced.pop(name, None)
            self._new.discard(name)
            if name in self._disk.names():
                self._disk.remove(name)

    def close(self) -> None:
        """An orderly end: what was held back reaches the disk, as it does when a program ends and the power stays."""
        with self._lock:
            for name, pieces in self._unsynced.items():
                for offset, data in pieces:
                    self._disk.write(name, offset, data)
            self._unsynced.clear()
        self._disk.close()

    # ---- the faults -------------------------------------------------------------------------------------------------

    def _wait_for_disk(self, orders: Orders) -> None:
        if orders.sync_delay_s:
            time.sleep(orders.sync_delay_s)
        while self._control.look().hangs:
            time.sleep(LOOK_S)
        if self._control.orders.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _use_room(self, name: str, offset: int, data: bytes, orders: Orders) -> None:
        with self._lock:
            if orders.room_bytes != self._room_order:
                self._room = self._room_order = orders.room_bytes
            if self._room is None:
                return
            size = self.size(name) if name in self.names() else 0
            growth = max(0, offset + len(data) - size)
            if growth > self._room:
                self._room = 0
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._room -= growth

    def _give_room(self, bytes_: int) -> None:
        with self._lock:
            if self._room is not None:
                self._room += bytes_

    def _arrive(self, name: str, writes: list[tuple[int, bytes]]) -> None:
        """Some blocks of these writes are on the disk from now on."""
        for offset, block in survivors(self._rng, writes, lambda at, size: self._before(name, at, size)):
            self._disk.write(name, offset, block)

    def _before(self, name: str, offset: int, size: int) -> bytes:
        return self._disk.read_at(name, offset, size) if name in self._disk.names() else b""

    def _size_on_disk(self, name: str) -> int:
        return self._disk.size(name) if name in self._disk.names() else 0
