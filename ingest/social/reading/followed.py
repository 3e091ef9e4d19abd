"""A file that others go on writing: its end is waited at, and not taken for the end."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from typing import Any

from quorate.errors import Conflict

LOOK_S = 0.2


class FollowedFile(io.RawIOBase):
    """`pause` waits for so many seconds, and raises when it is time to stop. `at_end` is called before, of a file.

    Raises `Conflict` if the file was cut, or if another one stands in its place and all of this one was read. A pipe
    that has a name is followed, too: from one writer to the next.
    """

    def __init__(self, file: io.FileIO, pause: Callable[[float], None], at_end: Callable[[], None]) -> None:
        super().__init__()
        self._file, self._pause, self._at_end = file, pause, at_end
        self._is_replaced = False  # as it was seen before the last look for more

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        while not (found := self._file.readinto(buffer)):
            self._look()
            self._pause(LOOK_S)
        self._is_replaced = False
        return found

    def _look(self) -> None:
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return
        if status.st_size < self._file.tell():
            raise Conflict(f"{self._file.name!s} was cut while it was read; --new reads all of it")
        if self._is_replaced:
            raise Conflict(
                f"{self._file.name!s} was replaced by another file. It was read to its end; --new reads the new one"
            )
        self._is_replaced = self._has_other_in_its_place(status)
        self._at_end()

    def _has_other_in_its_place(self, status: os.stat_result) -> bool:
        try:
            return not os.path.samestat(status, os.stat(self._file.name))
        except OSError:  # it has another name now, and its writer may go on
            return False

    def close(self) -> None:
        self._file.close()
        super().close()
