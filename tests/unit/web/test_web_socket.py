"""A WebSocket over real connections, plain and with TLS, whatever the server does to it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, serve

from quorate.web.long_read import LongReadFailed
from quorate.web.web_socket import WebSocket, WebSocketRefused
from tests.support.certificates import Authority
from tests.support.little_proxy import little_proxy
from tests.support.raw_server import raw_server
from tests.unit.web.sites import sends

Script = Callable[[ServerConnection], None]
BYTES_MAX = 1_000


@contextlib.contextmanager
def server(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    with serve(script, "127.0.0.1", 0, ssl=tls, close_timeout=0.5) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"{'ws' if tls is None else 'wss'}://127.0.0.1:{serving.socket.getsockname()[1]}"
        serving.shutdown()
        thread.join()


def opened(url: str) -> WebSocket:
    return WebSocket(url, message_bytes_max=BYTES_MAX)


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def why_not(url: str) -> tuple[str, str]:
    with pytest.raises(LongReadFailed) as failed, opened(url):
        pass
    return failed.value.reason, str(failed.value)


def test_messages_go_both_ways() -> None:
    with server(echo) as url, opened(url) as web:
        web.send("grüezi")
        assert "grüezi".encode() == web.receive(10)
        assert web.receive(0) is None


def test_with_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue())
    with server(echo, context) as url:
        assert ("refused", True) == (why_not(url)[0], "not trusted" in why_not(url)[1])
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
        with opened(url) as web:
            web.send("safe")
            assert b"safe" == web.receive(10)


def test_what_came_before_the_end_is_received_first() -> None:
    def script(connection: ServerConnection) -> None:
        connection.send("one")
        connection.send("two")

    with server(script) as url, opened(url) as web:
        assert [b"one", b"two"] == [web.receive(10), web.receive(10)]
        with pytest.raises(LongReadFailed, match="the server ended the connection"):
            web.receive(10)


def test_a_message_that_is_too_long_ends_it() -> None:
    def script(connection: ServerConnection) -> None:
        connection.send("x" * (BYTES_MAX + 1))

    too_long = pytest.raises(LongReadFailed, match="too long")
    with server(script) as url, opened(url) as web, too_long:
        web.receive(10)


@pytest.mark.parametrize("is_receiving", [True, False])
def test_any_thread_ends_it(is_receiving: bool) -> None:
    def silence(sock: socket.socket) -> None:
        sock.recv(1)

    with raw_server(silence) as silent, server(echo) as url:
        web = opened(url if is_receiving else f"ws://127.0.0.1:{silent.port}")
        threading.Timer(0.2, web.wake).start()
        with pytest.raises(LongReadFailed) as failed, web:
            web.receive(60)
    assert "closed" == failed.value.reason


def test_one_that_was_ended_before_it_began_does_not_begin() -> None:
    with server(echo) as url:
        web = opened(url)
        web.wake()
        with pytest.raises(LongReadFailed) as failed, web:
            pass
    assert "closed" == failed.value.reason


def test_another_answer_is_told_with_what_it_says() -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\nRetry-After: 7\r\n\r\nwhy?"
    with raw_server(sends(answer)) as site, pytest.raises(WebSocketRefused) as refused:
        opened(f"ws://127.0.0.1:{site.port}").__enter__()
    assert (400, b"why?", "7") == (refused.value.status, refused.value.body, refused.value.headers["retry-after"])


@pytest.mark.parametrize("place", ["ws://127.0.0.1:{port}/x?key=1", "/x"])
def test_a_redirect_is_told_and_not_followed(place: str) -> None:
    answers: list[bytes] = []
    with raw_server(lambda sock: sock.sendall(answers[0])) as site:
        place = place.format(port=site.port)
        answers.append(f"HTTP/1.1 302 Found\r\nlocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())
        reason, why = why_not(f"ws://127.0.0.1:{site.port}")
        assert ("redirected", 1) == (reason, len(site.requests))
        assert f"redirects to ws://127.0.0.1:{site.port}/x; give that URL" in why


def test_a_name_that_can_be_none_is_told() -> None:
    assert ("refused", "it is no URL of ws:// or wss://") == why_not("ws://a..b")


def test_what_is_no_server_of_websockets_is_told() -> None:
    with raw_server(sends(b"220 smtp ready\r\n")) as site:
        assert ("refused", "it speaks no WebSocket; is its address right?") == why_not(f"ws://127.0.0.1:{site.port}")
    with raw_server(sends(b"220 smtp ready\r\n"), reads=False) as site:
        assert "it speaks no TLS" in why_not(f"wss://127.0.0.1:{site.port}")[1]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert ("refused", "it cannot be reached") == why_not(f"ws://127.0.0.1:{port}")


def test_a_proxy_is_asked_where_the_environment_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with little_proxy(tmp_path, "127.0.0.1:1") as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        reason, why = why_not("wss://social.example/")
        assert ["CONNECT social.example:443"] == proxy.seen
    assert "refused" == reason
    assert "https_proxy" in why
