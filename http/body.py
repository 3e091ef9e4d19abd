"""Reads the body of a request completely, within bounds. No thread waits for a body.

If Content-Length is over the limit, the body is refused before a byte of it is read. A chunked body has no
Content-Length and is refused as soon as it is over the limit. The memory of all bodies together is bounded too: those
that are not complete, and big ones until their request is answered. When it is used up, whoever holds most of it loses
a body that is not complete: so a client that sends bodies without their ends keeps no other one's out.

What is long is read in one line: of a hundred bodies of two megabytes that come at once, the loop takes a share.

Time is bounded by the connection (`connection.py`): when it closes, waiting for a body ends with `ClientGone`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from quorate.doors.caller_places import holder_of
from quorate.doors.waiting_line import WaitingLine
from quorate.errors import Invalid, Overloaded, TooLarge
from quorate.http.connection import CONNECTION
from quorate.http.scope import CALLER, Scope

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

BODIES_BYTES_MAX = 64 * 1024 * 1024
BIG_BYTES = 64 * 1024  # a smaller one that is complete is soon read, and is not counted
PART_BYTES, BYTE_S = 16 * 1024, 4e-9  # of a part that takes time to be read, and what each byte takes
READ_AT_ONCE = 1_000  # bodies in a step of the line: their time is what bounds them


class Cuttable(Protocol):
    """A connection, as this file sees it."""

    def cut_body(self) -> None: ...


class ClientGone(Exception):
    """The client disconnected, so no answer can be sent."""


@dataclass(slots=True, eq=False)
class _Coming:
    """A body that is not complete, of a request for which nothing was done yet."""

    who: str
    connection: Cuttable | None
    held: int = 0
    is_cut: bool = False


class Bodies:
    """Reads bodies, and counts the bytes of all that are not complete, or big and not `done`."""

    def __init__(self, version: Callable[[], int], most: int = BODIES_BYTES_MAX) -> None:
        """`version` is that of the state."""
        self._most = most
        self._line = WaitingLine(READ_AT_ONCE, version=version)
        self._held = 0
        self._coming: dict[str, dict[_Coming, None]] = {}  # by whose they are
        self._held_by: Counter[str] = Counter()  # how much these hold

    async def read(self, receive: Receive, length: bytes | None, limit: int, scope: Scope) -> bytes:
        """The body, for which `done` is to be called. `length` is the Content-Length header, if there is one."""
        if length is not None and _number(length) > limit:
            raise too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        if not message.get("more_body"):
            if len(body) > BIG_BYTES:
                self._hold(holder_of(scope[CALLER]), len(body))
            return body
        coming = _Coming(holder_of(scope[CALLER]), scope.get(CONNECTION))
        self._coming.setdefault(coming.who, {})[coming] = None
        try:
            return await self._read_rest(receive, coming, bytearray(body), limit)
        finally:
            self._forget(coming)

    def done(self, body: bytes) -> None:
        """Nobody needs the body any more."""
        if len(body) > BIG_BYTES:
            self._held -= len(body)

    async def _read_rest(self, receive: Receive, coming: _Coming, body: bytearray, limit: int) -> bytes:
        whole = b""
        try:
            self._take(coming, len(body))
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect" or coming.is_cut:
                    raise ClientGone
                part: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) + len(part) > limit:
                    raise too_large(limit)
                self._take(coming, len(part))
                body += part
                if more and len(part) > PART_BYTES:  # meanwhile nothing more is read of it
                    await self._line.turn(len(part) * BYTE_S)
            whole = bytes(body)
            return whole
        finally:
            if len(whole) <= BIG_BYTES:
                self._held -= coming.held
            self._held_by[coming.who] -= coming.held
            coming.held = 0

    def _take(self, coming: _Coming, size: int) -> None:
        self._hold(coming.who, size)
        self._held_by[coming.who] += size
        coming.held += size

    def _forget(self, coming: _Coming) -> None:
        theirs = self._coming[coming.who]
        del theirs[coming]
        if not theirs:
            del self._coming[coming.who], self._held_by[coming.who]

    def _hold(self, who: str, size: int) -> None:
        """Raises `Overloaded` if there is no room, and nobody holds more than `who` would."""
        while self._held + size > self._most and size:
            if not self._cut_one(who, size):
                raise Overloaded("too many big requests arrive at this node at once; try again in a moment")
        self._held += size

    def _cut_one(self, who: str, size: int) -> bool:
        """Cut off the biggest body of whoever holds most, if that is more than `who` would hold with so much more."""
        held = self._held_by
        most = max(held, key=held.__getitem__, default=who)
        if most == who or held[most] <= held[who] + size:
            return False
        biggest = max(self._coming[most], key=lambda body: body.held)
        self._held -= biggest.held
        held[most] -= biggest.held
        biggest.held, biggest.is_cut = 0, True
        if biggest.connection is not None:
            biggest.connection.cut_body()
        return True


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over {limit:,} bytes; send the votes in several requests", limit=limit)


def _number(length: bytes) -> int:
    if not length.isdigit() or len(length) > 18:
        raise Invalid("Content-Length is not a number")
    return int(length)
