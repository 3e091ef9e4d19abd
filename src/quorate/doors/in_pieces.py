"""What is written over TLS is handed on in pieces, each when those before it have gone.

TLS seals what it is given at once. What is sealed and not sent is in no count, because whoever carries it tells nobody
how much that is; and the buffer that it was sealed in stays as big as it was. So of three megabytes that a client does
not read, its connection would hold six, and the budget of unread bytes would have none of them. Here big answers wait
as they came: all who are sent the same share it, it is counted, and a turn of the loop seals some pieces of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

PIECE_BYTES = 64 * 1024
PIECES_AT_ONCE = 4  # in a turn of the loop: some tenths of a millisecond


class PiecedTransport(asyncio.Transport):
    """The transport of a connection. `beneath` is that of TLS, `protocol` what the connection is to its door."""

    def __init__(self, beneath: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._beneath, self._protocol = beneath, protocol
        self._waiting: deque[memoryview] = deque()
        self._size = 0  # of what waits
        self._high = PIECE_BYTES
        self._is_held = False  # what is beneath takes nothing more
        self._is_paused = False  # the protocol was told to write nothing more
        self._is_closing = False
        self._next: asyncio.Handle | None = None
        self.set_write_buffer_limits()

    # ---- for the connection -----------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing:
            return
        if len(data) <= PIECE_BYTES and not self._waiting and not self._is_held:
            self._beneath.write(data)
            return
        self._waiting.append(memoryview(data))
        self._size += len(data)
        if self._next is None:
            self._hand_on()
        if self._waiting and self.get_write_buffer_size() >= self._high:
            self._pause()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        parts = list(list_of_data)
        if sum(map(len, parts)) <= PIECE_BYTES:
            parts = [b"".join(parts)]
        for part in parts:
            self.write(part)

    def get_write_buffer_size(self) -> int:
        return self._size + self._beneath.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = PIECE_BYTES if high is None else high
        self._beneath.set_write_buffer_limits(high=min(self._high, PIECE_BYTES))

    def close(self) -> None:
        self._is_closing = True
        if not self._waiting:
            self._beneath.close()

    def abort(self) -> None:
        self.forget()
        self._beneath.abort()

    def is_closing(self) -> bool:
        return self._is_closing or self._beneath.is_closing()

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._beneath.pause_reading()

    def resume_reading(self) -> None:
        self._beneath.resume_reading()

    def is_reading(self) -> bool:
        return self._beneath.is_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._beneath.get_extra_info(name, default)

    # ---- for what is beneath ----------------------------------------------------------------------------------------

    def hold(self) -> None:
        """It takes nothing more."""
        self._is_held = True
        self._pause()

    def go_on(self) -> None:
        self._is_held = False
        if self._next is None:
            self._hand_on()

    def forget(self) -> None:
        self._waiting.clear()
        self._size = 0
        if self._next is not None:
            self._next.cancel()
            self._next = None

    # ---- handing on -------------------------------------------------------------------------------------------------

    def _hand_on(self) -> None:
        self._next = None
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
        if self._is_held:
            return
        if self._waiting:
            self._next = asyncio.get_running_loop().call_soon(self._hand_on)
        elif self._is_closing:
            self._beneath.close()
        elif self._is_paused:
            self._is_paused = False
            self._protocol.resume_writing()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()


class InPieces(asyncio.Protocol):
    """Stands between TLS and the protocol of a connection."""

    _transport: PiecedTransport

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = PiecedTransport(cast(asyncio.Transport, transport), self._protocol)
        self._protocol.connection_made(self._transport)

    def data_received(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport.forget()
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self._transport.hold()

    def resume_writing(self) -> None:
        self._transport.go_on()
