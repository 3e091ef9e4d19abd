"""Replies of Redis' protocol, RESP2 and RESP3, from bytes that come in pieces (RESP specification).

It knows nothing of sockets, so that clients of every kind can use it; the tests' do.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

LINE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class ReplyError:
    """An error as a reply."""

    text: str

    @property
    def code(self) -> str:
        return self.text.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class RedisReply:
    """Numbers, texts and lists as Python has them; a map is a dict, and an error is a `ReplyError`."""

    kind: bytes  # its first byte
    value: Any


Steps: TypeAlias = "Generator[RedisReply | None, None, Any]"  # None: more bytes are needed


class ReplyReader:
    """`feed` it what came, and `take` replies until there is none."""

    def __init__(self) -> None:
        self._got, self._at = b"", 0  # what came, and how much of it was read
        self._steps = self._replies()

    @property
    def left(self) -> bytes:
        """What came, and is in no reply that was taken."""
        return self._got[self._at :]

    def feed(self, data: bytes) -> None:
        self._got, self._at = self._got[self._at :] + data, 0

    def take(self) -> RedisReply | None:
        """The next reply; None: it is not whole. Raises `ValueError` for what is none, and is of no use afterwards."""
        return next(self._steps)

    def _replies(self) -> Steps:
        while True:
            kind, value = yield from self._reply()
            yield RedisReply(kind, value)

    def _reply(self) -> Steps:
        line = yield from self._line()
        return line[:1], (yield from self._value(line[:1], line[1:]))

    def _value(self, kind: bytes, rest: bytes) -> Steps:
        match kind:
            case b"+":
                return rest.decode()
            case b"-":
                return ReplyError(rest.decode(errors="replace"))
            case b":":
                return int(rest)
            case b"_":
                return None
            case b"#":
                return rest == b"t"
            case b"$" | b"=":
                return None if rest == b"-1" else (yield from self._exactly(int(rest) + 2))[:-2].decode()
            case b"*" | b">" | b"~":
                return None if rest == b"-1" else (yield from self._several(int(rest)))
            case b"%":
                flat = yield from self._several(2 * int(rest))
                return dict(zip(flat[::2], flat[1::2], strict=True))
        raise ValueError(f"no reply begins with {kind!r}")

    def _several(self, count: int) -> Steps:
        values = []
        for _ in range(count):
            _, value = yield from self._reply()
            values.append(value)
        return values

    def _line(self) -> Steps:
        while (end := self._got.find(b"\r\n", self._at)) < 0:
            if len(self._got) - self._at > LINE_BYTES_MAX:
                raise ValueError("a line of a reply has no end")
            yield None
        return self._taken(end + 2 - self._at)[:-2]

    def _exactly(self, size: int) -> Steps:
        while len(self._got) - self._at < size:
            yield None
        return self._taken(size)

    def _taken(self, size: int) -> bytes:
        self._at += size
        return self._got[self._at - size : self._at]


def command(*words: str | bytes | int) -> bytes:
    """A command as clients send it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
