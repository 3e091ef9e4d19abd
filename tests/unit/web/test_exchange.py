"""One request and its whole answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from quorate.web.exchange import exchange
from quorate.web.long_read import LongReadFailed
from tests.support.raw_server import raw_server, wait_for_end


def sends(answer: bytes, *, ends: bool = True) -> Callable[[socket.socket], None]:
    def script(sock: socket.socket) -> None:
        sock.sendall(answer)
        if not ends:
            wait_for_end(sock)

    return script


@pytest.mark.parametrize("status", [200, 201, 400, 429, 503])
def test_whatever_is_answered_is_the_answer(status: int) -> None:
    answer = f'HTTP/1.1 {status} X\r\nX-Rate-Limit: 5\r\nContent-Length: 8\r\n\r\n{{"a": 1}}'.encode()
    with raw_server(sends(answer)) as server:
        got = exchange("POST", f"http://127.0.0.1:{server.port}/a", json={"b": [2]}, params={"c": "d e"})
    assert (status, "5", {"a": 1}) == (got.status, got.headers["x-rate-limit"], got.json())
    (request,) = server.requests
    assert "POST /a?c=d+e HTTP/1.1" in request
    assert "application/json" in request


def test_what_is_no_json_is_none() -> None:
    with raw_server(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")) as server:
        assert exchange("GET", f"http://127.0.0.1:{server.port}/").json() is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", "hung_up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b"x" * 99, "refused"),
        (b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", "redirected"),
    ],
    ids=["half an answer", "too long", "a redirect"],
)
def test_what_is_no_whole_answer_fails(answer: bytes, reason: str) -> None:
    with raw_server(sends(answer)) as server, pytest.raises(LongReadFailed) as raised:
        exchange("GET", f"http://127.0.0.1:{server.port}/", bytes_max=50)
    assert reason == raised.value.reason


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    script = sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", ends=False)
    with raw_server(script) as server, pytest.raises(LongReadFailed) as raised:
        exchange("GET", f"http://127.0.0.1:{server.port}/", timeout_s=0.2)
    assert raised.value.stalled


def test_any_thread_ends_it() -> None:
    @contextlib.contextmanager
    def closing(close: Callable[[], None]) -> Iterator[None]:
        timer = threading.Timer(0.1, close)
        timer.start()
        try:
            yield
        finally:
            timer.join()

    with raw_server(wait_for_end) as server, pytest.raises(LongReadFailed) as raised:
        exchange("GET", f"http://127.0.0.1:{server.port}/", closing=closing)
    assert "closed" == raised.value.reason
