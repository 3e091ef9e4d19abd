"""What is written is handed on in pieces, each when those before it have gone.

A socket takes two megabytes of an answer at once, which the system copies for a millisecond each half a megabyte. So
connections whose clients are sent big answers stand in one line, and share a part of the time: a hundred clients that
asked for three megabytes each kept the loop from votes for half a second.

TLS seals what it is given at once. What is sealed and not sent is in no count, because whoever carries it tells nobody
how much that is; and the buffer that it was sealed in stays as big as it was. So of three megabytes that a client does
not read, its connection would hold six, and the budget of unread bytes would have none of them. Here big answers wait
as they came: all who are sent the same share it, it is counted, and a turn of the loop seals some pieces of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import cast

from quorate.doors.waiting_line import WaitingLine

PIECE_BYTES = 64 * 1024
PIECES_AT_ONCE = 4  # when it is a connection's turn: half a millisecond


class PiecedTransport(asyncio.Transport):
    """The transport of a connection. `beneath` is that of its socket, or of TLS; `protocol` is the connection.

    In `line` stands who has pieces that may be handed on.
    """

    def __init__(self, beneath: asyncio.Transport, protocol: asyncio.Protocol, line: WaitingLine) -> None:
        super().__init__()
        self._beneath, self._protocol, self._line = beneath, protocol, line
        self._waiting: deque[memoryview] = deque()
        self._size = 0  # of what waits
        self._high = PIECE_BYTES
        self._is_held = False  # what is beneath takes nothing more
        self._is_paused = False  # the protocol was told to write nothing more
        self._is_closing = False
        self._in_line = False
        # A vote asks for some of these: so no call of Python stands between.
        self.get_extra_info = beneath.get_extra_info  # type: ignore[method-assign]
        self.is_closing = beneath.is_closing  # type: ignore[method-assign]
        self.is_reading = beneath.is_reading  # type: ignore[method-assign]
        self.pause_reading = beneath.pause_reading  # type: ignore[method-assign]
        self.resume_reading = beneath.resume_reading  # type: ignore[method-assign]
        self.set_write_buffer_limits()

    # ---- for the connection -----------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if len(data) <= PIECE_BYTES and not (self._waiting or self._is_held or self._is_closing):
            self._beneath.write(data)
        else:
            self._write_in_pieces([data], len(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        parts = list(list_of_data)
        size = sum(map(len, parts))
        if size <= PIECE_BYTES:
            self.write(b"".join(parts))
        else:
            self._write_in_pieces(parts, size)

    def _write_in_pieces(self, parts: Iterable[bytes | bytearray | memoryview], size: int) -> None:
        if self._is_closing:
            return
        self._waiting.extend(map(memoryview, parts))
        self._size += size
        self._stand_in_line()
        if self._waiting and self.get_write_buffer_size() >= self._high:
            self._pause()

    def get_write_buffer_size(self) -> int:
        return self._size + self._beneath.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = PIECE_BYTES if high is None else high
        # A socket takes at once what is more than this, so that the time is charged in which it does.
        self._beneath.set_write_buffer_limits(high=min(self._high, PIECE_BYTES - 1))

    def close(self) -> None:
        self._is_closing = True
        if not self._waiting:
            self._beneath.close()
            return
        self._beneath.pause_reading()  # nothing more is to be answered
        self.is_closing = lambda: True  # type: ignore[method-assign]
        self.resume_reading = lambda: None  # type: ignore[method-assign]

    def abort(self) -> None:
        self.forget()
        self._beneath.abort()

    def can_write_eof(self) -> bool:
        return False

    # ---- for what is beneath ----------------------------------------------------------------------------------------

    def hold(self) -> None:
        """It takes nothing more."""
        self._is_held = True
        self._pause()

    def go_on(self) -> None:
        self._is_held = False
        if self._waiting:
            self._stand_in_line(has_much=True)
        else:
            self._have_handed_on()

    def forget(self) -> None:
        self._waiting.clear()
        self._size = 0

    # ---- handing on -------------------------------------------------------------------------------------------------

    def _stand_in_line(self, *, has_much: bool = False) -> None:
        if not self._in_line:
            self._in_line = True
            self._line.join(self._hand_on, has_much=has_much)

    def _hand_on(self) -> None:
        self._in_line = False
        began_s = time.perf_counter()
        for _ in range(PIECES_AT_ONCE):
            if not self._waiting or self._is_held:
                break
            first = self._waiting[0]
            piece = first[:PIECE_BYTES]
            if len(piece) < len(first):
                self._waiting[0] = first[PIECE_BYTES:]
            else:
                self._waiting.popleft()
            self._size -= len(piece)
            self._beneath.write(piece)
        self._line.charge(time.perf_counter() - began_s)
        if self._is_held:
            return
        if self._waiting:
            asyncio.get_running_loop().call_soon(partial(self._stand_in_line, has_much=True))
        else:
            self._have_handed_on()

    def _have_handed_on(self) -> None:
        """Nothing waits any more."""
        if self._is_closing:
            self._beneath.close()
        elif self._is_paused:
            self._is_paused = False
            self._protocol.resume_writing()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()


class InPieces(asyncio.Protocol):
    """Stands between a socket, or TLS, and the protocol of a connection."""

    _transport: PiecedTransport

    def __init__(self, protocol: asyncio.Protocol, line: WaitingLine) -> None:
        self._protocol, self._line = protocol, line
        self.data_received = protocol.data_received  # type: ignore[method-assign]  # a call less for each vote

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = PiecedTransport(cast(asyncio.Transport, transport), self._protocol, self._line)
        self._protocol.connection_made(self._transport)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport.forget()
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self._transport.hold()

    def resume_writing(self) -> None:
        self._transport.go_on()
