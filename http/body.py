"""Reads the body of a request completely, within bounds. No thread waits for a body.

If Content-Length is over the limit, the body is refused before a byte of it is read. A chunked body has no
Content-Length and is refused as soon as it is over the limit. The memory of all unfinished bodies together is bounded
too. Time is bounded by the connection (`connection.py`): when it closes, waiting for a body ends with `ClientGone`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from quorate.errors import Invalid, Overloaded, TooLarge

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

UNFINISHED_BYTES_MAX = 64 * 1024 * 1024


class ClientGone(Exception):
    """The client disconnected, so no answer can be sent."""


class Bodies:
    """Reads bodies, and counts the bytes of all that are not complete yet."""

    def __init__(self, unfinished_max: int = UNFINISHED_BYTES_MAX) -> None:
        self._unfinished_max = unfinished_max
        self._unfinished = 0

    async def read(self, receive: Receive, length: bytes | None, limit: int) -> bytes:
        """The body. `length` is the Content-Length header, if there is one."""
        if length is not None and _number(length) > limit:
            raise too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        if not message.get("more_body"):
            return body
        return await self._read_rest(receive, bytearray(body), limit)

    async def _read_rest(self, receive: Receive, body: bytearray, limit: int) -> bytes:
        self._unfinished += (held := len(body))
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                self._unfinished += len(part)
                held += len(part)
                if held > limit:
                    raise too_large(limit)
                if self._unfinished > self._unfinished_max:
                    raise Overloaded("too many big requests arrive at this node at once; try again in a moment")
                body += part
            return bytes(body)
        finally:
            self._unfinished -= held


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over {limit:,} bytes; send the votes in several requests", limit=limit)


def _number(length: bytes) -> int:
    if not length.isdigit() or len(length) > 18:
        raise Invalid("Content-Length is not a number")
    return int(length)
