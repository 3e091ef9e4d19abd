"""Offers to change the protocol are ignored (RFC 9110, 7.8), and the bytes of a body are never taken for a request."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from tests.support.http_node import MOOD, Node, running

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"  # Java's
OFFERS = {
    "Java": H2C,
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "two lines": b"Upgrade: TLS/1.0\r\nConnection: upgrade\r\nUpgrade: foo/2, bar\r\n",
    "no connection": b"Upgrade: h2c\r\n",
    "trailers": b"TE: trailers\r\nConnection: TE\r\n",  # codespell:ignore te
}
SMUGGLED = b'POST /votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n{"option":"sad"}'


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def post(body: bytes, more: bytes = H2C, version: bytes = b"1.1") -> bytes:
    return b"POST /votes HTTP/%b\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (
        version,
        more,
        len(body),
        body,
    )


def vote(id: str) -> bytes:
    return json.dumps({"option": "happy", "id": id}).encode()


def read_status(answers: BinaryIO) -> int:
    """The status of the next answer, which is read completely."""
    status, length = int(answers.readline().split()[1]), 0
    while (line := answers.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        length = int(value) if name == b"content-length" else length
    answers.read(length)
    return status


@contextlib.contextmanager
def dialled(node: Node) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """A bare connection, and what is answered on it."""
    with node.dial() as sock, sock.makefile("rb") as answers:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock, answers


@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_is_ignored_and_the_connection_goes_on(node: Node, offer: str) -> None:
    with dialled(node) as (sock, answers):
        for id in ("a", "b"):
            sock.sendall(post(vote(id), OFFERS[offer]))
            assert 200 == read_status(answers)
    assert {"happy": 2, "sad": 0} == node.tally()


@pytest.mark.parametrize("segment", [1, 7, 100])
def test_an_offer_is_ignored_however_the_bytes_are_cut(node: Node, segment: int) -> None:
    data = post(vote("a")) + post(vote("b"))
    with dialled(node) as (sock, answers):
        for start in range(0, len(data), segment):
            sock.sendall(data[start : start + segment])
        assert [200, 200] == [read_status(answers), read_status(answers)]
    assert {"happy": 2, "sad": 0} == node.tally()


def test_requests_behind_an_offer_are_answered_in_order(node: Node) -> None:
    read = b"GET /polls/none/results HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % H2C
    with dialled(node) as (sock, answers):
        sock.sendall(post(vote("a"), b"") + read + post(vote("b")) + b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert [200, 404, 200, 200] == [read_status(answers) for _ in range(4)]
    assert {"happy": 2, "sad": 0} == node.tally()


@pytest.mark.parametrize("apart", [False, True])
def test_a_body_behind_an_offer_is_never_a_request(node: Node, apart: bool) -> None:
    data = post(SMUGGLED)
    head = data.index(b"\r\n\r\n") + 4
    with dialled(node) as (sock, answers):
        sock.sendall(data[:head] if apart else data)
        if apart:
            assert 200 == node.ask("GET", "/livez").status  # so the head has surely arrived by itself
            sock.sendall(data[head:])
        assert 400 == read_status(answers)
        sock.sendall(post(vote("a")))
        assert 200 == read_status(answers)
    assert {"happy": 1, "sad": 0} == node.tally()


def test_a_body_in_chunks_behind_an_offer_is_read(node: Node) -> None:
    body = vote("a")
    with dialled(node) as (sock, answers):
        sock.sendall(b"POST /votes HTTP/1.1\r\nHost: localhost\r\n%bTransfer-Encoding: chunked\r\n\r\n" % H2C)
        sock.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert 200 == read_status(answers)
        sock.sendall(post(vote("b")))
        assert 200 == read_status(answers)


def test_an_offer_in_http_1_0_is_ignored(node: Node) -> None:
    with dialled(node) as (sock, answers):
        sock.sendall(post(vote("a"), version=b"1.0"))
        assert 200 == read_status(answers)


def test_nothing_behind_connect_is_a_request(node: Node) -> None:
    with dialled(node) as (sock, answers):
        sock.sendall(b"CONNECT x:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED)
        assert 400 == read_status(answers)
        assert b"" == answers.read(1)
    assert {"happy": 0, "sad": 0} == node.tally()


def test_an_offer_with_two_lengths_is_refused(node: Node) -> None:
    with dialled(node) as (sock, answers):
        sock.sendall(post(SMUGGLED, H2C + b"Transfer-Encoding: chunked\r\n"))
        assert 400 == read_status(answers)
        assert b"" == answers.read(1)


def test_a_refusal_before_100_continue_closes_the_connection(node: Node) -> None:
    """The client may leave the body out then. So what it sends next must not be taken for that body, nor the body for
    a request."""
    with dialled(node) as (sock, answers):
        sock.sendall(
            b"POST /votes HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        )
        assert 413 == read_status(answers)
        assert b"" == answers.read(1)


def test_an_expectation_is_met_behind_an_offer(node: Node) -> None:
    head, _, body = post(vote("a"), H2C + b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with dialled(node) as (sock, answers):
        sock.sendall(head + b"\r\n\r\n")
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == answers.read(25)
        sock.sendall(body)
        assert 200 == read_status(answers)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_that_offers_http_2_votes(node: Node) -> None:
    command = ["curl", "-sS", "--http2", "-d", '{"option":"happy","id":"a"}', f"http://127.0.0.1:{node.port}/votes"]
    answer = subprocess.run([*command, "--next", "-sS", *command[2:]], capture_output=True, text=True, timeout=30)
    assert "" == answer.stderr
    assert [1, 0] == [json.loads(line)["applied"] for line in answer.stdout.splitlines()]
