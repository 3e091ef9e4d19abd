"""A long answer ended by another thread, wherever the reader waits, and read through a proxy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.web.long_read import LongRead, LongReadFailed
from tests.support.certificates import Authority
from tests.support.little_proxy import little_proxy
from tests.support.raw_server import chunk, raw_server, wait_for_end
from tests.support.waiting import let_pass
from tests.unit.web.sites import CHUNKED, PLAIN, SILENCE_S, Site, reason_of, sends


@pytest.mark.parametrize(
    "answer",
    [[], [b"HTTP/1.1 200 OK\r\nX"], [CHUNKED], [CHUNKED, chunk(b"one\n")], [PLAIN, b"one\n"]],
    ids=["before the answer", "in its headers", "before a chunk", "after a chunk", "until it closes"],
)
def test_another_thread_ends_it_at_once(site: Site, answer: list[bytes]) -> None:
    waiting = threading.Event()

    def script(sock: socket.socket) -> None:
        for piece in answer:
            sock.sendall(piece)
        waiting.set()
        wait_for_end(sock)

    with site.serving(script) as server:
        read = site.read(server)
        ended = ends_soon(read, waiting)
    assert "closed" == ended


def ends_soon(read: LongRead, waiting: threading.Event) -> str:
    def wake() -> None:
        assert waiting.wait(20)
        let_pass(0.05, because="the reader is to be inside of its call, mostly")
        read.wake()

    waking = threading.Thread(target=wake)
    waking.start()
    began_s = time.monotonic()
    _, reason = reason_of(read)
    waking.join()
    assert SILENCE_S / 2 > time.monotonic() - began_s, "it came to its end by its own limit"
    return reason


def test_it_is_ended_while_the_other_side_keeps_tls_waiting() -> None:
    accepted = threading.Event()

    def script(sock: socket.socket) -> None:
        accepted.set()
        wait_for_end(sock)

    with raw_server(script, reads=False) as server:
        read = LongRead("GET", f"https://127.0.0.1:{server.port}/", silence_s=SILENCE_S, timeout_connect_s=SILENCE_S)
        assert "closed" == ends_soon(read, accepted)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """Of a listener whose queue is full: a connection to it is neither made nor refused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        yield address[1]
        for filler in fillers:
            filler.close()


def test_it_is_ended_while_it_connects(deaf_port: int) -> None:
    begun = threading.Event()
    begun.set()
    read = LongRead("GET", f"http://127.0.0.1:{deaf_port}/", silence_s=1, timeout_connect_s=SILENCE_S)
    assert "closed" == ends_soon(read, begun)


def test_what_was_ended_before_it_began_never_asks() -> None:
    with raw_server(sends(PLAIN)) as server:
        read = Site(None).read(server)
        read.wake()
        assert (b"", "closed") == reason_of(read)
    assert [] == server.requests


def test_a_closed_one_leaves_nothing_open() -> None:
    """Neither its connection nor its second descriptor: the server sees the end."""
    ended = threading.Event()

    def script(sock: socket.socket) -> None:
        sock.sendall(CHUNKED + chunk(b"one\n"))
        wait_for_end(sock)
        ended.set()

    open_before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    for _ in range(5):
        ended.clear()
        with raw_server(script) as server, Site(None).read(server) as read:
            next(read.pieces())
            read.close()
            assert ended.wait(20)
    if sys.platform == "linux":
        assert open_before + 3 > len(list(Path("/proc/self/fd").iterdir()))


# ---- through a proxy -----------------------------------------------------------------------------------------------


def test_it_is_asked_through_the_proxy_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\none\n"
    with raw_server(sends(answer)) as server, little_proxy(tmp_path, f"127.0.0.1:{server.port}") as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with LongRead("GET", "http://stream.example/v2?since=1", silence_s=SILENCE_S) as read:
            assert b"one\n" == b"".join(read.pieces())
        assert ["GET http://stream.example/v2?since=1"] == proxy.seen


def test_a_proxy_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with little_proxy(tmp_path, "127.0.0.1:1") as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(LongReadFailed, match=r"the proxy answers 403.*https_proxy.*NO_PROXY"):
            LongRead("GET", "https://stream.example/v2", silence_s=SILENCE_S).__enter__()


def test_it_is_read_and_ended_through_a_tunnel(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """https:// goes through a proxy by CONNECT, and TLS reaches from end to end."""
    waiting = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("stream", ["stream.example"]))
    site = Site(context)

    def tunnel(sock: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as onward:
            sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            threading.Thread(target=pump, args=(onward, sock), daemon=True).start()
            pump(sock, onward)

    def script(sock: socket.socket) -> None:
        sock.sendall(CHUNKED + chunk(b"one\n"))
        waiting.set()
        wait_for_end(sock)

    with site.serving(script) as server, raw_server(tunnel) as proxy:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        read = LongRead("GET", "https://stream.example/v2", silence_s=SILENCE_S)
        assert "closed" == ends_soon(read, waiting)
        assert proxy.requests[0].startswith("CONNECT stream.example:443 ")
        assert server.requests[0].startswith("GET /v2 ")


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
