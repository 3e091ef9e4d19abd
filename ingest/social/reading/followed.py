"""A file that others go on writing: its end is waited at, and not taken for the end."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

from quorate.errors import Conflict

LOOK_S = 0.2


class FollowedFile(io.RawIOBase):
    """`pause` waits for so many seconds, and raises when it is time to stop. Raises `Conflict` if the file was cut."""

    def __init__(self, file: io.FileIO, pause: Callable[[float], None]) -> None:
        super().__init__()
        self._file, self._pause = file, pause

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        while not (found := self._file.readinto(buffer)):
            if os.fstat(self._file.fileno()).st_size < self._file.tell():
                raise Conflict(f"{self._file.name!s} was cut while it was read; --new reads all of it")
            self._pause(LOOK_S)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()
