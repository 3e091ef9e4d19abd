"""One request and its answer, over a connection to one node that is kept open. Small HTTP/1.1, and nothing more.

Whoever asks is told which of three things happened: an answer came; the request surely never left (`NeverSent`); it may
have arrived, and no answer came (`LostAnswer`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from quorate.config import Address
from quorate.unreadable import UNREADABLE

CONNECT_S = 2.0
ANSWER_S = 6.5  # a node answers what it does not know after 5 s
HEAD_BYTES_MAX = 64 * 1024

_decode = msgspec.json.Decoder().decode


class NeverSent(Exception):
    """No byte of the request left: nobody took the connection."""


class LostAnswer(Exception):
    """The request may have arrived. What the connection did is the text."""


@dataclass(frozen=True, slots=True)
class AskedNode:
    """Where a node answers, and with what it is asked."""

    id: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    token: str | None = None
    redis: Address | None = None  # where it speaks Redis' protocol


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    status: int
    body: bytes
    served_by: str | None
    version: int | None

    def json(self) -> dict[str, Any]:
        """The object that the body is. Empty if it is none."""
        try:
            found = _decode(self.body)
        except UNREADABLE:
            return {}
        return found if isinstance(found, dict) else {}


class KeptConnection:
    """For one request at a time. After a failure the next request opens it anew."""

    def __init__(self, node: AskedNode) -> None:
        self.node = node
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        token = f"Authorization: Bearer {node.token}\r\n" if node.token else ""
        self._fixed = f"Host: {_bracketed(node.host)}:{node.port}\r\n{token}"

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        *,
        timeout_s: float = ANSWER_S,
    ) -> NodeAnswer:
        reader, writer = await self._open()
        more = "".join(f"{name}: {value}\r\n" for name, value in headers)
        if body:
            more += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        try:
            async with asyncio.timeout(timeout_s):
                writer.write(f"{method} {path} HTTP/1.1\r\n{self._fixed}{more}\r\n".encode() + body)
                return await self._read(reader)
        except TimeoutError:
            self.close()
            raise LostAnswer("timeout") from None
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError) as error:
            self.close()
            raise LostAnswer(_name(error)) from error
        except BaseException:
            self.close()
            raise

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            node = self.node
            try:
                async with asyncio.timeout(CONNECT_S):
                    opening = asyncio.open_connection(node.host, node.port, ssl=node.tls, limit=HEAD_BYTES_MAX)
                    self._reader, self._writer = await opening
            except (OSError, TimeoutError) as error:
                raise NeverSent(_name(error)) from error
        return self._reader, self._writer

    async def _read(self, reader: asyncio.StreamReader) -> NodeAnswer:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        body = await reader.readexactly(int(fields[b"content-length"])) if b"content-length" in fields else b""
        if fields.get(b"connection", b"").lower() == b"close":
            self.close()
        served_by, version = fields.get(b"x-quorate-node"), fields.get(b"x-quorate-version")
        return NodeAnswer(
            int(status.split()[1]),
            body,
            None if served_by is None else served_by.decode(errors="replace"),
            None if version is None else int(version),
        )

    def close(self) -> None:
        """Idempotent."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def _name(error: BaseException) -> str:
    return type(error).__name__


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
