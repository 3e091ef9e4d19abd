"""An answer that is read for hours: over real sockets, plain and with TLS, whatever the server does to it."""

from __future__ import annotations

import gzip
import socket
import ssl
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from quorate.web.long_read import PIECE_BYTES, LongRead, LongReadFailed
from tests.support.certificates import Authority
from tests.support.raw_server import chunk, raw_server, wait_for_end
from tests.support.waiting import let_pass
from tests.unit.web.sites import CHUNKED, PLAIN, Site, reason_of, sends

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# ---- what comes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        ([CHUNKED, chunk(b"one\n"), chunk(b"two"), b"0\r\n\r\n"], b"one\ntwo"),
        ([CHUNKED, b"7;ex", b"tension\r\none\n", b"two\r\n0\r\nTrailer: x\r\n\r\n"], b"one\ntwo"),
        ([PLAIN, b"one\n", b"two"], b"one\ntwo"),
        ([b"HTTP/1.0 200 OK\r\n\r\n", b"one\ntwo"], b"one\ntwo"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\none", b"\ntwo"], b"one\ntwo"),
    ],
    ids=["chunked", "split chunks", "until it closes", "HTTP/1.0", "with a length"],
)
def test_an_answer_is_read_to_its_end(site: Site, answer: list[bytes], body: bytes) -> None:
    with site.serving(sends(*answer)) as server, site.read(server) as read:
        assert (200, body) == (read.status, b"".join(read.pieces()))


def compressed(encoding: str) -> Callable[[bytes], bytes]:
    """Of each piece, what brings it out at the other end at once."""
    if encoding == "zstd":
        compressor = zstd.ZstdCompressor()
        return lambda piece: compressor.compress(piece, zstd.ZstdCompressor.FLUSH_BLOCK)
    made = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    return lambda piece: made.compress(piece) + made.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_what_is_compressed_comes_as_it_is_sent(site: Site, encoding: str) -> None:
    """The second piece is sent only after the first one was read, so nothing waits in a decoder."""
    go_on = threading.Event()
    compress = compressed(encoding)

    def script(sock: socket.socket) -> None:
        sock.sendall(CHUNKED.replace(b"\r\n\r\n", f"\r\nContent-Encoding: {encoding}\r\n\r\n".encode()))
        sock.sendall(chunk(compress(b"one\n")))
        assert go_on.wait(20)
        sock.sendall(chunk(compress(b"two\n")))
        wait_for_end(sock)

    with site.serving(script) as server, site.read(server) as read:
        pieces = read.pieces()
        assert b"one\n" == next(pieces)
        go_on.set()
        assert b"two\n" == next(pieces)
        assert encoding in server.requests[0].lower().partition("accept-encoding: ")[2].partition("\r\n")[0]


def test_an_encoding_that_nobody_asked_for_is_named() -> None:
    answer = PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip, squeeze\r\n\r\n")
    with raw_server(sends(answer, b"?")) as server, pytest.raises(LongReadFailed, match="squeeze") as failed:
        Site(None).read(server).__enter__()
    assert "refused" == failed.value.reason


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_memory_stays_bounded_however_much_a_piece_unpacks_to(encoding: str) -> None:
    big = b"x" * 40_000_000
    packed = gzip.compress(big) if encoding == "gzip" else zstd.compress(big)
    answer = PLAIN.replace(b"\r\n\r\n", f"\r\nContent-Encoding: {encoding}\r\n\r\n".encode())
    with raw_server(sends(answer, packed)) as server, Site(None).read(server) as read:
        tracemalloc.start()
        lengths = [len(piece) for piece in read.pieces()]
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (len(big), True) == (sum(lengths), max(lengths) <= PIECE_BYTES)
    assert 4_000_000 > most


def test_an_answer_that_is_refused_says_why(site: Site) -> None:
    """Also if its body comes in pieces, and never ends."""
    answer = CHUNKED.replace(b"200 OK", b"429 Too Many Requests\r\nRetry-After: 7")
    with (
        site.serving(sends(answer, chunk(b"slow "), chunk(b"down"), b"0\r\n\r\n")) as server,
        site.read(server) as read,
    ):
        assert (429, "7", b"slow down") == (read.status, read.headers["retry-after"], read.error_body())


def test_the_reason_of_a_refusal_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.web.long_read.ERROR_S", 0.2)
    answer = CHUNKED.replace(b"200 OK", b"503 Busy")
    with raw_server(sends(answer, chunk(b"beca"), then=wait_for_end)) as server, Site(None).read(server) as read:
        assert b"beca" == read.error_body()


# ---- what breaks it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        ([CHUNKED, chunk(b"one\n"), b"10\r\ntw"], b"one\ntw"),
        ([CHUNKED, chunk(b"one\n")], b"one\n"),
        ([CHUNKED, chunk(b"one\n"), b"what\r\n"], b"one\n"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"one\n"], b"one\n"),
        ([PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), b"no gzip at all"], b""),
        ([b"HTTP/1.1 what\r\n\r\n"], b""),
        ([CHUNKED[:-2] + b"X: " + b"y" * 70_000], b""),
        ([], b""),
    ],
    ids=[
        *("in mid-chunk", "between chunks", "no chunk", "before its length", "no gzip"),
        *("a strange status", "a long header", "before it answers"),
    ],
)
def test_an_answer_that_breaks_off_is_no_end(site: Site, answer: list[bytes], came: bytes) -> None:
    with site.serving(sends(*answer)) as server:
        assert (came, "hung_up") == reason_of(site.read(server))


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_headers_that_break_off_are_no_answer(site: Site, sent: bytes) -> None:
    with site.serving(sends(sent)) as server:
        assert (b"", "hung_up") == reason_of(site.read(server))


def test_silence_is_told_from_a_hang_up(site: Site) -> None:
    for answer in ([CHUNKED, chunk(b"one\n")], [CHUNKED[:20]], []):
        with site.serving(sends(*answer, then=wait_for_end)) as server:
            assert "stalled" == reason_of(site.read(server, silence_s=0.2))[1]


def test_bytes_now_and_then_are_no_silence(site: Site) -> None:
    def script(sock: socket.socket) -> None:
        sock.sendall(CHUNKED)
        for _ in range(8):
            let_pass(0.5, because="the whole takes longer than the silence that is allowed")
            sock.sendall(chunk(b"\n"))
        sock.sendall(b"0\r\n\r\n")

    with site.serving(script) as server, site.read(server, silence_s=3.5) as read:
        assert b"\n" * 8 == b"".join(read.pieces())


def test_a_beginning_that_never_ends_is_a_stall() -> None:
    """Each byte of the headers comes in time, so only a limit for the whole beginning helps."""

    def script(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            sock.sendall(b"y")
            let_pass(0.05, because="it trickles")

    with raw_server(script) as server:
        assert "stalled" == reason_of(Site(None).read(server, silence_s=0.3, timeout_connect_s=0.2))[1]


GZIPPED = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")


def of_nothing() -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(b"one\n") + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    ("answer", "trickle"),
    [
        ([CHUNKED, chunk(b"one\n"), b"0\r\n"], b"Trailer: x\r\n"),
        ([CHUNKED, chunk(b"one\n"), b"5;"], b"x"),
        ([GZIPPED, chunk(of_nothing())], chunk(b"\x00\x00\x00\xff\xff")),  # an empty block of deflate
    ],
    ids=["trailers", "a chunk's extension", "empty blocks"],
)
def test_bytes_that_bring_nothing_are_a_stall(answer: list[bytes], trickle: bytes) -> None:
    def script(sock: socket.socket) -> None:
        for piece in answer:
            sock.sendall(piece)
        while True:
            sock.sendall(trickle)
            let_pass(0.05, because="it trickles")

    with raw_server(script) as server:
        assert (b"one\n", "stalled") == reason_of(Site(None).read(server, silence_s=0.3))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (b"https://other.example/v2?token=secret", r"to https://other\.example/v2; give that URL"),
        (b"/v2/", r"to http://127\.0\.0\.1:\d+/v2/; give that URL"),
        (b"http://[::1", "redirects"),
        (b"http://evil.example/\x1b[31m", r"\\x1b"),
        (None, "redirects"),
    ],
)
def test_a_redirect_is_refused_in_words(place: bytes | None, words: str) -> None:
    where = b"" if place is None else b"Location: %s\r\n" % place
    answer = b"HTTP/1.1 301 Moved\r\n%sContent-Length: 0\r\n\r\n" % where
    with raw_server(sends(answer)) as server, pytest.raises(LongReadFailed, match=words) as failed:
        Site(None).read(server).__enter__()
    assert ("redirected", False) == (failed.value.reason, "secret" in str(failed.value))


def test_a_redirect_whose_body_never_ends_is_refused_at_once() -> None:
    answer = CHUNKED.replace(b"200 OK", b"307 Moved\r\nLocation: /v2/")
    with raw_server(sends(answer, chunk(b"moved"), then=wait_for_end)) as server:
        assert (b"", "redirected") == reason_of(Site(None).read(server))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/", "cannot be reached"),
        ("http://nosuch.invalid/", "looked up"),
        ("ftp://127.0.0.1/", "no URL"),
        ("http://127.0.0.1:port/", "no URL"),
        ("http://", "no URL"),
        ("http://%zz:1/", "no URL|looked up"),
        ("http://" + "x" * 300 + ".example/", "no URL|looked up"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(LongReadFailed, match=words) as failed:
        LongRead("GET", url, silence_s=1).__enter__()
    assert "refused" == failed.value.reason


def test_a_token_with_a_line_break_is_refused_in_words() -> None:
    with pytest.raises(LongReadFailed, match="line break"):
        LongRead("GET", "http://127.0.0.1:1/", silence_s=1, headers={"Authorization": "Bearer a\nb"}).__enter__()


def test_a_certificate_that_is_not_trusted_is_told(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("other"))
    site = Site(context)
    with site.serving(sends(PLAIN)) as server, pytest.raises(LongReadFailed, match="not trusted"):
        site.read(server).__enter__()
