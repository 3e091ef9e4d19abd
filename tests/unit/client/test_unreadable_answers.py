"""Answers that are none of a node: of a proxy, of another program, or of somebody in its place."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest

from quorate.client.http import JsonClient
from quorate.errors import QuorateError
from tests.support.http_handler import serving

DEEP = b"[" * 5_000 + b"]" * 5_000


class Handler(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def client() -> Iterator[JsonClient]:
    with serving(Handler) as port, JsonClient([f"http://127.0.0.1:{port}"], timeout_s=0.5) as client:
        yield client


@pytest.mark.parametrize("status", [200, 400, 404, 503])
@pytest.mark.parametrize(
    "body", [b"", b"caf\xe9", b'{"type":"caf\xe9"}', b'{"type":' + DEEP + b"}", DEEP], ids=range(5)
)
def test_it_is_said_in_words(client: JsonClient, status: int, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "status", status)
    monkeypatch.setattr(Handler, "body", body)
    with pytest.raises(QuorateError, match=r"not as a Quorate node does|does not answer as|may or may not"):
        client.leader()["id"]
