"""Just enough HTTP/1.1 for the doubles: a request line, headers, a sized body, one JSON or text answer, keep-alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
)
BODY_BYTES_MAX = 64 * 1024 * 1024


class HttpRefusal(Exception):
    """An answer other than 200, as nsqd gives it: a status and a word."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    query: Mapping[str, list[str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return self.query[name][0] if name in self.query else None


Handler = Callable[[Request], Any]  # bytes and text are sent as they are, None as an empty body, the rest as JSON
Routes = Mapping[tuple[str, str], Handler]


async def serve(address: str, routes: Routes) -> asyncio.Server:
    host, port = address.rsplit(":", 1)
    return await asyncio.start_server(lambda r, w: _talk(r, w, routes), host, int(port))


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, routes: Routes) -> None:
    try:
        while True:
            line = await reader.readline()
            try:
                method, target, version = line.decode("latin-1").split(" ", 2)
                if not (method and version.startswith("HTTP/")):
                    raise ValueError(line)
            except ValueError:
                if line:
                    writer.write(BAD_REQUEST)
                break
            headers = {}
            while header := (await reader.readline()).strip():
                name, _, value = header.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            size = int(headers.get("content-length", "0"))
            body = await reader.readexactly(min(size, BODY_BYTES_MAX))
            writer.write(_answer(method, target, body, routes))
            await writer.drain()
            if headers.get("connection", "").lower() == "close":
                break
    except (ValueError, OSError, asyncio.IncompleteReadError):
        pass  # the client disconnected, or does not speak HTTP
    finally:
        writer.close()


def _answer(method: str, target: str, body: bytes, routes: Routes) -> bytes:
    url = urlsplit(target)
    try:
        handler = routes.get((method, url.path))
        if handler is None:
            known = any(path == url.path for _, path in routes)
            raise HttpRefusal(405, "METHOD_NOT_ALLOWED") if known else HttpRefusal(404, "NOT_FOUND")
        status, answer = 200, handler(Request(parse_qs(url.query, keep_blank_values=True), body))
    except HttpRefusal as refusal:
        status, answer = refusal.status, {"message": str(refusal)}
    payload, kind = _encoded(answer)
    head = f"HTTP/1.1 {status} {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


def _encoded(answer: Any) -> tuple[bytes, str]:
    if answer is None or isinstance(answer, (str, bytes)):
        return (answer.encode() if isinstance(answer, str) else answer or b""), "text/plain; charset=utf-8"
    return msgspec.json.encode(answer), "application/json; charset=utf-8"
