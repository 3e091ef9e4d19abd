"""The body of a request: whole, bounded, and never waited for by a thread.

A body that says it is too big is refused before a byte of it is read; one that does not say (chunked) as soon as it is
too big. How long a body may take is the server's business (`server.Connection`): a connection that is cut there ends
the waiting here with `ClientGone`. What all unfinished bodies hold together is bounded too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from quorate.errors import Invalid, Overloaded, TooLarge

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

UNFINISHED_BYTES_MAX = 64 * 1024 * 1024


class ClientGone(Exception):
    """Nobody is left to answer."""


class Bodies:
    """Reads bodies, and knows what they hold together."""

    def __init__(self, unfinished_max: int = UNFINISHED_BYTES_MAX) -> None:
        self._unfinished_max = unfinished_max
        self._unfinished = 0

    async def read(self, receive: Receive, length: bytes | None, limit: int) -> bytes:
        """`length` is the Content-Length header, if there is one."""
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
