"""Whole lines from pieces of a stream. What stands after the last line break is held back until the rest comes."""

from __future__ import annotations

LINE_BYTES_MAX = 4 * 1024 * 1024


class LineTooLong(Exception):
    """What comes is no stream of lines, or one that would fill the memory."""


class LineCutter:
    def __init__(self, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()

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
        return lines

    @property
    def rest(self) -> bytes:
        """What has begun and not ended: at the end of a stream, half a line or one without its line break."""
        return bytes(self._held)
