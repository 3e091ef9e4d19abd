"""A simulated disk: `Files` and `Writer` in memory, which lose what a real disk may lose.

After a power loss any subset of the unsynced blocks is kept, and one of them may be garbage. New files that were not
synced may be gone. A rename or a removal that was under way may have happened or not. A killed process loses nothing
that it wrote. Any call can be cut short in the middle (`steps_left`) or fail (`fail`). A failed sync behaves as on
Linux: the data that it could not write stays readable, and no later sync writes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from quorate.chaos.victim.torn_writes import overwrite, survivors

T = TypeVar("T")
PIECES_MAX = 4  # a write can be cut short between so many pieces


class PowerCut(BaseException):
    """The running operation ends here. It is not an Exception, so that no code handles it."""


class _File:
    def __init__(self) -> None:
        self.data = bytearray()  # as read
        self.durable = bytearray()
        self.unsynced: list[tuple[int, bytes]] = []

    def put(self, offset: int, data: bytes) -> None:
        overwrite(self.data, offset, data)
        self.unsynced.append((offset, data))


class SimFiles:
    """`Files` in memory. Not for several threads: the simulator runs one operation at a time."""

    where = "sim"

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.steps = 0  # taken since the beginning
        self.steps_left: int | None = None  # then the power goes, or the process dies
        self.room_bytes: int | None = None
        self._failures: dict[int, int] = {}
        self._changing: Callable[[], object] | None = None  # a rename or removal that is not durable yet
        self._visible: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}

    # ---- Files ------------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return list(self._visible)

    def size(self, name: str) -> int:
        return len(self._file(name).data)

    def read(self, name: str) -> bytes:
        return bytes(self._file(name).data)

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        return bytes(self._file(name).data[offset : offset + size])

    def write(self, name: str, offset: int, data: bytes, *, durable: bool = False) -> None:
        self._step()
        file = self._visible.setdefault(name, _File())
        piece_bytes = max(1, -(-len(data) // PIECES_MAX))
        for at in range(0, len(data), piece_bytes):
            piece = bytes(data[at : at + piece_bytes])
            self._use_room(file, offset + at, piece)
            self._step()
        if durable:
            self.sync(name)

    def sync(self, name: str) -> None:
        file = self._file(name)
        try:
            self._step()
        except OSError:
            file.unsynced.clear()
            raise
        for offset, data in file.unsynced:
            overwrite(file.durable, offset, data)
        file.unsynced.clear()
        self._durable[name] = file
        self._step()

    def truncate(self, name: str, size: int) -> None:
        self._step()
        file = self._file(name)
        if self.room_bytes is not None:
            self.room_bytes += max(0, len(file.data) - size)
        del file.data[size:]
        file.unsynced = [(offset, data[: max(0, size - offset)]) for offset, data in file.unsynced]
        self._step()
        del file.durable[size:]
        self.sync(name)

    def replace(self, old: str, new: str) -> None:
        self._step()
        file = self._visible[new] = self._visible.pop(old)

        def settle() -> None:
            self._durable[new] = file
            self._durable.pop(old, None)

        self._change_names(settle)

    def remove(self, name: str) -> None:
        self._step()
        gone = self._visible.pop(name)
        if self.room_bytes is not None:
            self.room_bytes += len(gone.data)
        self._change_names(lambda: self._durable.pop(name, None))

    # ---- what can happen to it --------------------------------------------------------------------------------------

    def fail(self, step: int, number: int = errno.EIO) -> None:
        """Make the `step`-th step from now raise an OSError."""
        self._failures[self.steps + step] = number

    def kill(self) -> None:
        """The process dies; the kernel has all that was written. The next process syncs the directory first."""
        self._forget_plans()
        self._changing = None
        self._durable = dict(self._visible)

    def crash(self) -> bool:
        """The power fails and comes back. Returns whether something is lost."""
        self._forget_plans()
        if self._changing is not None and self.rng.random() < 0.5:
            self._changing()
        self._changing = None
        rng, names = self.rng, {**self._visible, **self._durable}
        kept = {
            n: f
            for n, f in names.items()
            if self._durable.get(n) is f or (n not in self._durable and rng.random() < 0.5)
        }
        before = {name: bytes(file.data) for name, file in self._visible.items()}
        for file in kept.values():
            data = file.durable
            for offset, piece in survivors(rng, file.unsynced, partial(_part, data)):
                overwrite(data, offset, piece)
            file.data, file.durable, file.unsynced = bytearray(data), bytearray(data), []
        self._visible, self._durable = dict(kept), dict(kept)
        return before != {name: file.data for name, file in kept.items()}

    def flip(self, name: str, offset: int, mask: int = 0x01) -> None:
        """Change a byte, as a faulty disk does."""
        file = self._file(name)
        file.data[offset] ^= mask
        if offset < len(file.durable):
            file.durable[offset] ^= mask

    def put(self, name: str, data: bytes | None) -> None:
        """Give a file these durable bytes, or remove it: for tests of damage."""
        self._visible.pop(name, None)
        self._durable.pop(name, None)
        if data is not None:
            file = self._visible[name] = self._durable[name] = _File()
            file.data, file.durable = bytearray(data), bytearray(data)

    def copy(self) -> SimFiles:
        """A copy of this disk with the durable files."""
        other = SimFiles(random.Random(0))
        for name, file in self._visible.items():
            other.put(name, bytes(file.data))
        return other

    def _file(self, name: str) -> _File:
        if name not in self._visible:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._visible[name]

    def _step(self) -> None:
        self.steps += 1
        if self.steps_left is not None:
            if self.steps_left <= 0:
                raise PowerCut
            self.steps_left -= 1
        number = self._failures.pop(self.steps, None)
        if number is not None:
            raise OSError(number, os.strerror(number))

    def _change_names(self, settle: Callable[[], object]) -> None:
        self._changing = settle
        self._step()
        settle()
        self._changing = None
        self._step()

    def _forget_plans(self) -> None:
        self.steps_left = None
        self._failures.clear()

    def _use_room(self, file: _File, offset: int, piece: bytes) -> None:
        if self.room_bytes is not None:
            growth = max(0, offset + len(piece) - len(file.data))
            if growth > self.room_bytes:
                fits = max(0, len(piece) - growth + self.room_bytes)
                self.room_bytes = min(0, self.room_bytes)
                file.put(offset, piece[:fits])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room_bytes -= growth
        file.put(offset, piece)


class SimWriter:
    """A `Writer` that runs its operations when the simulator says so. A crash may leave one of them half done."""

    def __init__(self, files: SimFiles) -> None:
        self._files = files
        self._queue: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def run(
        self, operation: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool = False
    ) -> None:
        self._queue.append((operation, done))

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        self.drain()
        return operation()

    def complete(self) -> bool:
        """Run the oldest operation and deliver its result; False if there is none."""
        if not self._queue:
            return False
        operation, done = self._queue.popleft()
        result: Any
        try:
            result = operation()
        except Exception as error:
            result = error
        done(result)
        return True

    def drain(self) -> None:
        while self.complete():
            pass

    def die(self, steps: int) -> None:
        """Run `steps` more steps of the waiting operations, deliver no result, and drop the rest."""
        self._files.steps_left = steps
        try:
            for operation, _ in self._queue:
                with contextlib.suppress(Exception):  # its failure is nobody's any more
                    operation()
        except PowerCut:
            pass
        self._files.steps_left = None
        self._queue.clear()

    def stop(self) -> None:
        self.drain()


def _part(data: bytearray, offset: int, size: int) -> bytes:
    return bytes(data[offset : offset + size])
