"""An answer of server-sent events, in chunks, with a fault at the byte where a test wants it."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import zlib
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Literal

CUTS = ("hang_up", "reset", "stall", "end")


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one connection.

    - status: it is refused with it, and with these headers and this body
    - hang_up, reset, stall: after so many bytes of its body, in the middle of a chunk
    - end: the same, but as HTTP ends an answer
    - silent: it is not answered at all
    """

    kind: Literal["none", "status", "silent", "hang_up", "reset", "stall", "end"] = "none"
    after_bytes: int = 0
    status: int = 503
    headers: dict[str, str] | None = None
    body: str = ""


class Cut(Exception):
    """The fault of this connection has happened."""


class SseAnswer:
    """One for each connection."""

    def __init__(self, handler: BaseHTTPRequestHandler, fault: Fault, *, gzip: bool = False) -> None:
        self._handler, self._fault = handler, fault
        self._left = fault.after_bytes if fault.kind in CUTS else None
        self._packer = zlib.compressobj(wbits=31) if gzip else None

    def begin(self, content_type: str = "text/event-stream; charset=utf-8") -> None:
        handler = self._handler
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Transfer-Encoding", "chunked")
        if self._packer:
            handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()

    def send(self, text: bytes) -> None:
        """Raises `Cut`, or an OSError if the client has hung up."""
        if self._packer:
            text = self._packer.compress(text) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        if self._left is None:
            self._chunk(text)
        elif self._left <= len(text):
            self._break(text[: self._left])
        else:
            self._left -= len(text)
            self._chunk(text)

    def _chunk(self, text: bytes) -> None:
        self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))

    @property
    def client_is_there(self) -> bool:
        try:
            readable, _, _ = select.select([self._handler.connection], [], [], 0)
            return not readable or bool(self._handler.connection.recv(1, socket.MSG_PEEK))
        except (OSError, ValueError):
            return False

    def _break(self, part: bytes) -> None:
        connection = self._handler.connection
        if self._fault.kind == "end":
            if part:
                self._chunk(part)
            self._handler.wfile.write(b"0\r\n\r\n")
        else:
            self._handler.wfile.write(b"%x\r\n%s" % (len(part) + 1, part))  # in the middle of a chunk
        if self._fault.kind == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self._fault.kind == "stall":
            wait_for_client(connection)
        raise Cut


def wait_for_client(connection: socket.socket) -> None:
    """Until it hangs up."""
    connection.settimeout(None)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass
