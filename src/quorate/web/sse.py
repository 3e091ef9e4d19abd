"""Server-sent events, read as the WHATWG's standard says ("9.2.6 Interpreting an event stream"), in bounded memory.

What has not ended with a blank line is no event: if the connection breaks, its id does not count either. An event that
is too big is passed over and counted in `too_big`; its id counts, so that nobody asks for it again and again.
"""

from __future__ import annotations

from typing import NamedTuple

EVENT_LINE_BYTES_MAX = 4 * 1024 * 1024  # what Wikimedia's Kafka takes
EVENT_BYTES_MAX = 8 * 1024 * 1024
ID_BYTES_MAX = 8 * 1024  # no server takes a longer one back, in the header of a request
RETRY_DIGITS_MAX = 9
BOM = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """`id` is the last one that was sent, with this event or before it: from there a reader goes on."""

    name: str
    data: bytes
    id: str


class SseReader:
    """`last_id` and `retry_s` are what the server said last; `retry_s` is None if it did not."""

    def __init__(self, *, line_bytes_max: int = EVENT_LINE_BYTES_MAX, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._line_max, self._event_max = line_bytes_max, event_bytes_max
        self._held = bytearray()  # a line that has not ended
        self._skips_line = self._ended_with_cr = False
        self._is_first_line = True
        self._event = _Unfinished()
        self._id = ""
        self.last_id = ""
        self.retry_s: float | None = None
        self.too_big = 0
        self.lines = 0

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that end in this piece."""
        if not piece:
            return []
        if self._ended_with_cr and piece[:1] == b"\n":
            piece = piece[1:]
        self._ended_with_cr = piece[-1:] == b"\r"
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ended, rest = piece.split(b"\n")
        events = []
        for line in ended:
            event = self._line(self._whole(line))
            if event is not None:
                events.append(event)
        self._hold(rest)
        return events

    def _whole(self, end: bytes) -> bytes:
        """The line that ends so, or a comment in the place of one that is too long."""
        self._hold(end)
        self.lines += 1
        line = b":" if self._skips_line else bytes(self._held)
        self._held.clear()
        self._skips_line = False
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(BOM)
        return line

    def _hold(self, part: bytes) -> None:
        if not self._skips_line:
            self._held += part
            if len(self._held) > self._line_max:
                self._skips_line = True
                self._event.is_too_big |= not self._held.startswith(b":")
                self._held.clear()

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatched()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._event.add(value, self._event_max)
        elif field == b"event":
            self._event.name = value
        elif field == b"id" and b"\0" not in value and len(value) <= ID_BYTES_MAX:
            self._id = value.decode(errors="replace")
        elif field == b"retry" and value.isdigit() and len(value) <= RETRY_DIGITS_MAX:
            self.retry_s = int(value) / 1000
        return None

    def _dispatched(self) -> ServerEvent | None:
        event, self._event = self._event, _Unfinished()
        self.last_id = self._id
        if event.is_too_big:
            self.too_big += 1
            return None
        if not event.data:
            return None
        name = event.name.decode(errors="replace") or "message"
        return ServerEvent(name, b"\n".join(event.data), self.last_id)


class _Unfinished:
    """The fields of an event that has not ended."""

    def __init__(self) -> None:
        self.name = b""
        self.data: list[bytes] = []
        self.is_too_big = False
        self._size = 0

    def add(self, value: bytes, most: int) -> None:
        self._size += len(value) + 1
        if self._size > most:
            self.is_too_big = True
            self.data.clear()
        if not self.is_too_big:
            self.data.append(value)
