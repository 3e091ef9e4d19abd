"""Whole lines from pieces of a stream. What stands after the last line break is held back until the rest comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from quorate.web.long_read import LongRead, LongReadFailed

LINE_BYTES_MAX = 4 * 1024 * 1024

T = TypeVar("T")


class LineTooLong(Exception):
    """What comes is no stream of lines, or one that would fill the memory."""


class LineCutter:
    """`ended`: how many lines have."""

    def __init__(self, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()
        self.ended = 0

    def cut(self, piece: bytes) -> list[bytes]:
        """The lines that have ended, without their `\\n`; a `\\r` before it stays."""
        first, newline, rest = piece.partition(b"\n")
        self._held += first
        if len(self._held) > self._bytes_max:
            raise LineTooLong(f"a line is longer than {self._bytes_max:,} bytes")
        if not newline:
            return []
        lines = rest.split(b"\n")
        lines.insert(0, bytes(self._held))
        self._held[:] = lines.pop()
        self.ended += len(lines)
        return lines

    @property
    def rest(self) -> bytes:
        """What has begun and not ended: at the end of a stream, half a line or one without its line break."""
        return bytes(self._held)


def line_batches(
    read: LongRead,
    take: Callable[[bytes], list[T]],
    lines: Callable[[], int],
    *,
    line_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[T]]:
    """What `take` makes of each piece that comes, also nothing. `lines` says how many lines have ended by now.

    A line that grows by a byte now and then is never silent, and never a line: it fails as stalled after `line_s`.
    """
    ended, ended_s = lines(), clock()
    for piece in read.pieces():
        taken = take(piece)
        if lines() > ended:
            ended, ended_s = lines(), clock()
        elif clock() - ended_s > line_s:
            raise LongReadFailed("no line ended within the time", "stalled")
        taken_s = clock()
        yield taken
        ended_s += clock() - taken_s  # while a full inlet stops the reading, no line can end
