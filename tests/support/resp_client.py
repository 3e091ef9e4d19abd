"""A client of Redis' protocol on a bare socket: each byte that goes, and each reply as it came."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from quorate.chaos.workload.redis_replies import ReplyError, ReplyReader, command

__all__ = ["Client", "Closed", "Error", "command", "shape_of", "xadd"]

Error = ReplyError
TIMEOUT_S = 30.0
KINDS = {
    b"+": "simple",
    b"-": "error",
    b":": "number",
    b"$": "bulk",
    b"*": "array",
    b"%": "map",
    b"_": "null",
    b"#": "bool",
    b"=": "verbatim",
    b"~": "set",
    b">": "push",
}


class Closed(Exception):
    """The other side has closed the connection, and a reply was missing."""


def xadd(iid: str | int, option: str = "happy", poll: str = "mood", producer: str = "ana") -> bytes:
    return command("XADD", f"poll:{poll}", "IDMP", producer, iid, "*", "option", option)


class Client:
    """`ask` for one reply, `send` and `replies` for many at once."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, *, holds_bytes: int | None = None) -> None:
        """`holds_bytes`: that its system takes before it reads them."""
        sock = socket.socket()
        sock.settimeout(TIMEOUT_S)
        if holds_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, holds_bytes)
        sock.connect(("127.0.0.1", port))
        self.sock = sock if tls is None else tls.wrap_socket(sock, server_hostname="localhost")
        self._reader = ReplyReader()
        self.kind = ""  # of the last reply, as its first byte says

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, *words: str | bytes | int) -> Any:
        self.send(command(*words))
        return self.reply()

    def replies(self, count: int) -> list[Any]:
        return [self.reply() for _ in range(count)]

    def reply(self) -> Any:
        """Numbers, texts and lists as Python has them; a map is a dict, and an error is an `Error`."""
        while (reply := self._reader.take()) is None:
            self._more()
        self.kind = KINDS[reply.kind]
        return reply.value

    def is_closed(self) -> bool:
        """Whether the other side closes the connection now, without another byte."""
        return not self.rest()

    def rest(self) -> bytes:
        """All that comes until the other side closes the connection."""
        with contextlib.suppress(Closed):
            while True:
                self._more()
        return self._reader.left

    def _more(self) -> None:
        try:
            piece = self.sock.recv(1024 * 1024)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Closed
        self._reader.feed(piece)


def shape_of(value: Any) -> Any:
    """What a reply is made of, without its contents: to compare with what Redis answers."""
    if isinstance(value, Error):
        return f"error {value.code}"
    if isinstance(value, dict):
        return {key: shape_of(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [shape_of(each) for each in value]
    return type(value).__name__
