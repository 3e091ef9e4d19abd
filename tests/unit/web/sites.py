"""Servers by http:// and https:// whose answers are read for long, and how reading them ends."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from quorate.web.long_read import LongRead, LongReadFailed
from tests.support.raw_server import RawServer, Script, raw_server

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
SILENCE_S = 20.0  # much more than a test lasts, for those in which nothing may depend on it


class Site:
    """Servers by http:// or https://, and reading from them."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self.scheme = "http" if context is None else "https"

    def serving(self, script: Script) -> Any:
        return raw_server(script, self._context)

    def read(self, server: RawServer, *, silence_s: float = SILENCE_S, **others: Any) -> LongRead:
        return LongRead("GET", f"{self.scheme}://127.0.0.1:{server.port}/stream", silence_s=silence_s, **others)


def sends(*pieces: bytes, then: Script = lambda _: None) -> Script:
    def script(sock: socket.socket) -> None:
        for piece in pieces:
            sock.sendall(piece)
        then(sock)

    return script


def reason_of(read: LongRead) -> tuple[bytes, str]:
    """What came before it failed, and how it failed."""
    got = b""
    try:
        with read:
            for piece in read.pieces():
                got += piece
    except LongReadFailed as failed:
        return got, failed.reason
    return got, "an end"
