"""Lies of a Consul agent: it fails, or it answers what it knew before."""

from __future__ import annotations

import asyncio
from typing import Any

from quorate.chaos.services.lying import FRAME_BYTES_MAX, Liar, LyingConnection

FAILS, STALE = "answers 500", "answers what it knew before"
FAILURE = b"rpc error: No cluster leader"
REFUSED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%b"
KNOWN_MAX = 1_000  # answers that are kept


class ConsulConversation(LyingConnection):
    """One request after the other: what came for the last one is passed on before the next one is read."""

    liar: ConsulLiar

    async def forth(self) -> None:
        while True:
            head, request = await read_http(self.client_reader)
            method, target = head.split(b" ", 2)[:2]
            lie = self.liar.lies_now()
            known = self.liar.known.get(target) if method == b"GET" else None
            if lie == FAILS:
                await self.to_client(REFUSED % (len(FAILURE), FAILURE))
            elif lie == STALE and known is not None:
                await self.to_client(known)
            else:
                await self.to_server(request)
                _, answer = await read_http(self.server_reader)
                if method == b"GET" and not self.liar.lie:
                    self.liar.keep(target, answer)
                await self.to_client(answer)

    async def back(self) -> None:
        """`forth` reads the answers."""
        await asyncio.Event().wait()


class ConsulLiar(Liar):
    lies = frozenset((FAILS, STALE))
    connection = ConsulConversation

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.known: dict[bytes, bytes] = {}  # path -> the last true answer

    def keep(self, target: bytes, answer: bytes) -> None:
        if len(self.known) < KNOWN_MAX or target in self.known:
            self.known[target] = answer


async def read_http(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head of a request or an answer, and all of it."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    fields = {name.strip().lower(): value.strip() for name, _, value in lines}
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return head, head + await _read_chunks(reader)
    size = int(fields.get(b"content-length", b"0"))
    if not 0 <= size <= FRAME_BYTES_MAX:
        raise ValueError("too long")
    return head, head + await reader.readexactly(size)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        parts += [line, await reader.readexactly(size + 2)]
        if size == 0:
            return b"".join(parts)
