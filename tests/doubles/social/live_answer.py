"""An HTTP answer that goes on for hours: lines as they are pushed, signs of life between them, and faults."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import struct
import time
import zlib
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Literal

Fault = Literal["end", "hang_up", "half_line", "reset", "stall"]

LOOK_S = 0.05  # how soon it sees that its client has hung up


@dataclass(frozen=True, slots=True)
class _Break:
    """`line`: half of it comes before the fault, if it is half a line that is left."""

    fault: Fault
    line: bytes = b""


class LiveAnswer:
    """One for each connection. `push` and `fail` are for any thread; `serve` is for the one that handles the request.

    - end: as HTTP ends an answer
    - hang_up, half_line: the connection is closed, perhaps within a line; what was sent arrives
    - reset: what was sent may be lost
    - stall: nothing comes any more, and nobody says so
    """

    def __init__(self, *, keep_alive_s: float, gzip: bool = False, chunk_bytes: int = 0) -> None:
        self.is_over = False
        self.sent: list[bytes] = []  # whole lines
        self._connection: socket.socket | None = None
        self._keep_alive_s, self._chunk_bytes = keep_alive_s, chunk_bytes
        self._waiting: queue.SimpleQueue[bytes | _Break] = queue.SimpleQueue()
        self._spoke_at_s = time.monotonic()
        self._packer = zlib.compressobj(wbits=31) if gzip else None

    def push(self, line: bytes) -> None:
        self._waiting.put(line)

    def fail(self, fault: Fault, line: bytes = b"") -> None:
        self._waiting.put(_Break(fault, line))

    @property
    def is_open(self) -> bool:
        """As far as the server sees; it looks whether its client is still there."""
        connection = self._connection
        return not self.is_over and (connection is None or not _hung_up(connection))

    def serve(self, handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
        """Returns when the connection is over."""
        self._connection = handler.connection
        handler.close_connection = True
        handler.send_response(200)
        if self._packer:
            headers = {**headers, "Content-Encoding": "gzip"}
        for name, value in {"Transfer-Encoding": "chunked", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        with contextlib.suppress(OSError):
            self._send_until_broken(handler)
        self.is_over = True

    def _send_until_broken(self, handler: BaseHTTPRequestHandler) -> None:
        while not _hung_up(handler.connection):
            item = self._next()
            if item is None:
                continue
            if isinstance(item, _Break):
                self._break(handler, item)
                return
            self._write(handler, item)
            if item.strip():
                self.sent.append(item)

    def _next(self) -> bytes | _Break | None:
        try:
            item = self._waiting.get(timeout=min(LOOK_S, self._keep_alive_s))
        except queue.Empty:
            if time.monotonic() < self._spoke_at_s + self._keep_alive_s:
                return None
            item = b"\r\n"
        self._spoke_at_s = time.monotonic()
        return item

    def _break(self, handler: BaseHTTPRequestHandler, item: _Break) -> None:
        if item.line:
            self._write(handler, item.line[: len(item.line) // 2])
        if item.fault == "end":
            if self._packer:
                self._chunk(handler, self._packer.flush())
            handler.wfile.write(b"0\r\n\r\n")
        elif item.fault == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif item.fault == "stall":
            handler.connection.settimeout(None)
            while handler.connection.recv(4096):  # until the client hangs up
                pass

    def _write(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        if self._packer:
            data = self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        size = self._chunk_bytes or len(data)
        for start in range(0, len(data), size):
            self._chunk(handler, data[start : start + size])

    @staticmethod
    def _chunk(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        if data:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.flush()


def _hung_up(connection: socket.socket) -> bool:
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):  # it is closed
        return True
