"""An answer of Flask's, taken whole from its thread before the first byte of it is sent.

A thread that hands its answer to a client waits as long as the client likes. So the answer is collected here, the
thread is free, and then the loop sends it. Streams have no end to wait for: their parts are passed on as they come.
(Streams go through Flask only where `AsgiApp` is told to have Flask answer everything.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quorate.http.body import Message
from quorate.http.reply import Headers

LENGTH = b"content-length"
STREAM = (b"content-type", b"text/event-stream")


class Collected:
    """A `send` of ASGI. What is complete is in `status`, `headers` and `body`, unless it `is_stream`."""

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        self._parts: list[bytes] = []
        self._headers: Headers = []
        self.status = 0
        self.is_stream = False

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._headers = message["status"], list(message["headers"])
            self.is_stream = STREAM in self._headers
        if self.is_stream:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))

    @property
    def body(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def headers(self, size: int, method: str) -> Headers:
        """With a length, since the answer is whole. That of HEAD is the length that GET would have, or is not known."""
        known = any(name == LENGTH for name, _ in self._headers)
        if known or method == "HEAD" or self.status in (204, 304):
            return self._headers
        return [*self._headers, (LENGTH, b"%d" % size)]
