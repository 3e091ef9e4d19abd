"""An answer that is too big to hold: it is made piece by piece, no faster than its client reads it.

All that it needs is held from `open` on, and let go when it ends: because it is complete, because the client has left
(then the task of the request is cancelled), because the client is too slow, or because making it failed. An answer that
fails after its first byte is broken off, so that no client takes it for complete.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from quorate.doors.limits import Limits
from quorate.errors import QuorateError
from quorate.http.connection import CONNECTION, HttpConnection
from quorate.http.reply import Headers, Reply
from quorate.http.scope import Scope

Send = Callable[[Any], Awaitable[None]]

log = logging.getLogger(__name__)


class OpenedDownload(NamedTuple):
    content_type: bytes
    version: int
    more: tuple[tuple[bytes, bytes], ...]
    pieces: AsyncIterator[bytes]

    def headers(self, signature: Headers) -> Headers:
        version = (b"x-quorate-version", b"%d" % self.version)
        return [(b"content-type", self.content_type), *signature, version, *self.more]


@dataclass(frozen=True, slots=True)
class Download:
    """`open` raises a `QuorateError` if there is nothing to send."""

    open: Callable[[], AbstractAsyncContextManager[OpenedDownload]]

    async def whole(self) -> Reply:
        """For a door that cannot send pieces."""
        async with self.open() as opened:
            body = b"".join([piece async for piece in opened.pieces])
        return Reply(200, body, opened.content_type, opened.version, opened.more)


async def send_download(
    download: Download, signature: Headers, scope: Scope, send: Send, limits: Limits
) -> QuorateError | None:
    """Send it. Returns the error that is to be answered instead, where nothing was sent yet."""
    connection: HttpConnection | None = scope.get(CONNECTION)
    begun = False
    try:
        async with download.open() as opened:
            begun = True
            headers = opened.headers(signature)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if scope["method"] != "HEAD":
                await _send_pieces(opened.pieces, connection, send, limits)
            await send({"type": "http.response.body", "body": b""})
    except QuorateError as error:
        if not begun:
            return error
        log.warning("an answer to %s was broken off: %s", scope["path"], error.detail)
        _break_off(connection)
    except Exception:
        if not begun:
            raise
        log.exception("an answer to %s failed and was broken off", scope["path"])
        _break_off(connection)
    return None


async def _send_pieces(
    pieces: AsyncIterator[bytes], connection: HttpConnection | None, send: Send, limits: Limits
) -> None:
    waited_s, sent = 0.0, 0
    async for piece in pieces:
        if connection is not None:
            began_s = connection.loop.time()
            await connection.drained()
            waited_s += connection.loop.time() - began_s
            if waited_s > limits.stall_timeout_s + sent / limits.answer_bytes_per_s:
                log.warning("a client read a download slower than %d bytes/s; broken off", limits.answer_bytes_per_s)
                connection.break_off()
                return
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        sent += len(piece)


def _break_off(connection: HttpConnection | None) -> None:
    if connection is not None:
        connection.break_off()
