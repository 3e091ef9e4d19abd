"""Replies as bytes, in RESP2 or RESP3 (RESP specification, "RESP protocol description").

A handler gives plain values: `bytes` and `str` are bulk strings, `int` a number, `None` nothing, a list an array, a
`dict` a map, and the classes below what no plain value is. RESP2 has no maps and no pushes: both are
arrays there. A verbatim string is a plain one there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

QUEUED = b"+QUEUED\r\n"
PONG = b"+PONG\r\n"
TEXT_MAX = 1_000  # of an error: clients print them


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple string, as OK."""

    text: str


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A text for people, as INFO: a client of RESP3 shows it as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An error. `code` is its first word, which clients look at: ERR, NOAUTH, CLUSTERDOWN."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Raw:
    """A reply that is encoded already."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Push:
    """What a client did not ask for just now."""

    items: Sequence[Value]


Value: TypeAlias = (
    "bytes | str | int | bool | Sequence[Value] | Mapping[str, Value] | Simple | Verbatim | Failure | Raw | Push | None"
)


def encode(value: Value, protocol: int) -> bytes:
    """`protocol` is 2 or 3."""
    if isinstance(value, Raw):
        return value.data
    parts: list[bytes] = []
    _add(value, protocol, parts)
    return b"".join(parts)


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def failure(code: str, text: str) -> bytes:
    line = " ".join(text[:TEXT_MAX].split())
    printable = "".join(character if character.isprintable() else "?" for character in line)
    return f"-{code} {printable}\r\n".encode("utf-8", "replace")


def _verbatim(data: bytes) -> bytes:
    return b"=%d\r\ntxt:%b\r\n" % (len(data) + 4, data)


def _add(value: Value, protocol: int, parts: list[bytes]) -> None:
    match value:
        case None:
            parts.append(b"_\r\n" if protocol == 3 else b"$-1\r\n")
        case bool():
            parts.append((b"#t\r\n" if value else b"#f\r\n") if protocol == 3 else b":%d\r\n" % value)
        case int():
            parts.append(b":%d\r\n" % value)
        case bytes():
            parts.append(bulk(value))
        case str():
            parts.append(bulk(value.encode()))
        case Simple():
            parts.append(b"+%b\r\n" % value.text.encode())
        case Verbatim():
            parts.append(_verbatim(value.text.encode()) if protocol == 3 else bulk(value.text.encode()))
        case Failure():
            parts.append(failure(value.code, value.text))
        case Raw():
            parts.append(value.data)
        case Push():
            parts.append(b"%b%d\r\n" % (b">" if protocol == 3 else b"*", len(value.items)))
            for item in value.items:
                _add(item, protocol, parts)
        case Mapping():
            parts.append(b"%%%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % (2 * len(value)))
            for key, item in value.items():
                parts.append(bulk(key.encode()))
                _add(item, protocol, parts)
        case _:
            parts.append(b"*%d\r\n" % len(value))
            for item in value:
                _add(item, protocol, parts)
