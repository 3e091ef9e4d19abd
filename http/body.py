"""Reads the body of a request completely, within bounds. No thread waits for a body.

If Content-Length is over the limit, the body is refused before a byte of it is read. A chunked body has no
Content-Length and is refused as soon as it is over the limit. The memory of all bodies together is bounded too: those
that are not complete, and big ones until their request is answered. Time is bounded by the connection
(`connection.py`): when it closes, waiting for a body ends with `ClientGone`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from quorate.errors import Invalid, Overloaded, TooLarge

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

BODIES_BYTES_MAX = 64 * 1024 * 1024
BIG_BYTES = 64 * 1024  # a smaller one that is complete is soon read, and is not counted


class ClientGone(Exception):
    """The client disconnected, so no answer can be sent."""


class Bodies:
    """Reads bodies, and counts the bytes of all that are not complete, or big and not `done`."""

    def __init__(self, most: int = BODIES_BYTES_MAX) -> None:
        self._most = most
        self._held = 0

    async def read(self, receive: Receive, length: bytes | None, limit: int) -> bytes:
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
            self._hold(len(body) if len(body) > BIG_BYTES else 0)
            return body
        return await self._read_rest(receive, bytearray(body), limit)

    def done(self, body: bytes) -> None:
        """Nobody needs the body any more."""
        if len(body) > BIG_BYTES:
            self._held -= len(body)

    async def _read_rest(self, receive: Receive, body: bytearray, limit: int) -> bytes:
        self._held += (held := len(body))
        whole = b""
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                if held + len(part) > limit:
                    raise too_large(limit)
                self._hold(len(part))
                held += len(part)
                body += part
            whole = bytes(body)
            return whole
        finally:
            if len(whole) <= BIG_BYTES:
                self._held -= held

    def _hold(self, size: int) -> None:
        if self._held + size > self._most and size:
            raise Overloaded("too many big requests arrive at this node at once; try again in a moment")
        self._held += size


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over {limit:,} bytes; send the votes in several requests", limit=limit)


def _number(length: bytes) -> int:
    if not length.isdigit() or len(length) > 18:
        raise Invalid("Content-Length is not a number")
    return int(length)
