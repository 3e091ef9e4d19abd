"""A client of Redis' protocol on a bare socket: each byte that goes, and each reply as it came."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 10.0
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


@dataclass(frozen=True)
class Error:
    """An error as a reply."""

    text: str

    @property
    def code(self) -> str:
        return self.text.partition(" ")[0]


class Closed(Exception):
    """The other side has closed the connection, and a reply was missing."""


def command(*words: str | bytes | int) -> bytes:
    """A command as clients send it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


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
        self._got, self._at = b"", 0  # what came, and how much of it was read
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
        line = self._line()
        kind, rest = line[:1], line[1:]
        value = self._value(kind, rest)
        self.kind = KINDS[kind]
        return value

    def _value(self, kind: bytes, rest: bytes) -> Any:
        match kind:
            case b"+":
                return rest.decode()
            case b"-":
                return Error(rest.decode())
            case b":":
                return int(rest)
            case b"_":
                return None
            case b"#":
                return rest == b"t"
            case b"$" | b"=":
                return None if rest == b"-1" else self._exactly(int(rest) + 2)[:-2].decode()
            case b"*" | b">" | b"~":
                return None if rest == b"-1" else self.replies(int(rest))
            case b"%":
                return {self.reply(): self.reply() for _ in range(int(rest))}
        raise AssertionError(f"no reply begins with {kind!r}")

    def is_closed(self) -> bool:
        """Whether the other side closes the connection now, without another byte."""
        return not self.rest()

    def rest(self) -> bytes:
        """All that comes until the other side closes the connection."""
        with contextlib.suppress(Closed):
            while True:
                self._more()
        return self._taken(len(self._got) - self._at)

    def _line(self) -> bytes:
        while (end := self._got.find(b"\r\n", self._at)) < 0:
            self._more()
        return self._taken(end + 2 - self._at)[:-2]

    def _exactly(self, size: int) -> bytes:
        while len(self._got) - self._at < size:
            self._more()
        return self._taken(size)

    def _taken(self, size: int) -> bytes:
        self._at += size
        return self._got[self._at - size : self._at]

    def _more(self) -> None:
        try:
            piece = self.sock.recv(1024 * 1024)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Closed
        self._got, self._at = self._got[self._at :] + piece, 0


def shape_of(value: Any) -> Any:
    """What a reply is made of, without its contents: to compare with what Redis answers."""
    if isinstance(value, Error):
        return f"error {value.code}"
    if isinstance(value, dict):
        return {key: shape_of(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [shape_of(each) for each in value]
    return type(value).__name__
