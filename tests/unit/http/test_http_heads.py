"""Heads of requests: how many headers they may have, and what big ones may hold. And what bodies may hold."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from quorate.doors.limits import Limits
from quorate.http import big_votes
from quorate.http.intake import SMALL_HEAD_BYTES
from tests.support.http_node import MOOD, Node, running
from tests.support.waiting import wait_for

KIB = 1024
FAR = b"GET /polls/mood/results?min_version=999999&wait=30s HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
FOLLOW = b"GET /events?poll=mood HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
BIG = b"X: %b\r\n" % (b"x" * 20 * KIB)
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
OFFER = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.fixture
def node() -> Iterator[Node]:
    with running(streams=100, limits=Limits(waiting_bytes=64 * KIB)) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def dial(node: Node, sockets: ExitStack, sent: bytes) -> socket.socket:
    sock = sockets.enter_context(node.dial())
    with contextlib.suppress(OSError):
        sock.sendall(sent)
    return sock


def status_of(sock: socket.socket) -> int:
    """0 if the connection was closed without a word."""
    with contextlib.suppress(OSError):
        return int(sock.recv(65_536)[9:12] or 0)
    return 0


def status(node: Node, head: bytes) -> int:
    with ExitStack() as sockets:
        return status_of(dial(node, sockets, head))


def held(node: Node) -> int:
    return node.server._shared.waiting.held


@pytest.mark.parametrize("line", [b"a:\r\n", b"a: %b\r\n" % (b"x" * 50)], ids=["tiny", "longer"])
def test_a_head_may_have_only_so_many_headers(node: Node, line: bytes) -> None:
    """A header costs a hundred bytes and a call, however short it is: 60 KB of them took 2 MB and 10 ms."""
    assert 200 == status(node, LIVEZ % (line * 90))
    assert 431 == status(node, LIVEZ % (line * 120))
    assert 431 == status(node, (LIVEZ % (line * 400))[:-2]), "nobody waits for the end of it"
    assert 200 == status(node, LIVEZ % b"")


@pytest.mark.parametrize("head", [FAR, FOLLOW], ids=["reads that wait", "streams"])
@pytest.mark.parametrize("more", [BIG, OFFER + BIG], ids=["", "with an offer"])
def test_big_heads_of_requests_that_last_have_a_budget(node: Node, head: bytes, more: bytes) -> None:
    with ExitStack() as sockets:
        crowd = [dial(node, sockets, head % more) for _ in range(5)]
        wait_for("those beyond the budget are refused", lambda: node.server.connections <= 3)
        assert {429} == {status_of(sock) for sock in crowd[3:]}
        assert 60 * KIB < held(node) <= 64 * KIB
        assert 200 == node.ask("GET", "/livez").status, "small heads need no room"
    wait_for("nothing is held", lambda: not held(node))
    assert 200 == status(node, LIVEZ % BIG)


def test_big_heads_that_do_not_end_have_a_budget(node: Node) -> None:
    with ExitStack() as sockets:
        for _ in range(10):
            dial(node, sockets, (LIVEZ % BIG)[:-4])
        wait_for("some are broken off", lambda: node.server.connections < 10)
        wait_for("the rest fits", lambda: held(node) <= 64 * KIB)
        assert 200 == node.ask("GET", "/livez").status
    wait_for("nothing is held", lambda: not held(node))


@pytest.mark.parametrize("path", [b"/livez", b"/version", b"/nosuch"])
def test_an_idle_connection_does_not_hold_the_head_that_came_over_it(node: Node, path: bytes) -> None:
    with ExitStack() as sockets:
        sock = dial(node, sockets, (LIVEZ % BIG).replace(b"/livez", path + b"?" + b"q" * 8 * KIB))
        assert status_of(sock) in (200, 400, 404)
        wait_for("nothing is held", lambda: not held(node))
        (open_one,) = node.server._open()
        scope = open_one.cycle.scope
        assert SMALL_HEAD_BYTES > len(scope["query_string"]) + sum(len(value) for _, value in scope["headers"])
        sock.sendall(LIVEZ % b"")
        assert 200 == status_of(sock)


@pytest.mark.parametrize("head", [FAR, FOLLOW], ids=["a read that waits", "a stream"])
def test_the_body_of_a_request_that_has_none_is_not_kept(node: Node, head: bytes) -> None:
    with ExitStack() as sockets:
        dial(node, sockets, head % b"Content-Length: 200000\r\n" + bytes(200_000))
        wait_for("it is here", lambda: any(c._body_bytes == 200_000 for c in node.server._open()))
        (open_one,) = node.server._open()
        assert b"" == open_one.cycle.body


@pytest.mark.parametrize("path", [b"/votes", b"/polls"])
def test_a_big_body_counts_until_its_request_is_answered(node: Node, path: bytes) -> None:
    """Many of them would wait for the parser or the cluster, each with its megabytes."""
    body = json.dumps([{"option": "happy", "id": f"{i:050d}"} for i in range(2_000)]).encode()
    if path == b"/polls":
        body = json.dumps({"id": "big", "options": [f"{i:050d}" for i in range(2_000)]}).encode()
    bodies = node.server._app._bodies
    bodies._most, node.replica.held = len(body) + 1_000, []
    with ExitStack() as sockets:
        dial(node, sockets, POST % (path, len(body)) + body)
        wait_for("the cluster has it", lambda: node.replica.held)
        assert len(body) == bodies._held
        assert 429 == status_of(dial(node, sockets, POST % (path, len(body)) + body))
    wait_for("only the one that is proposed is held", lambda: bodies._held == len(body))


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_only_votes_and_polls_may_have_big_bodies(node: Node, method: str) -> None:
    path = "/producers" if method == "POST" else "/settings/votes.dedup_window"
    assert 413 == node.ask(method, path, b" " * 70_000).status
    assert 400 == node.ask("POST", "/votes", b" " * 70_000).status


def test_one_request_with_very_many_votes_is_counted_at_a_time_and_small_ones_pass(node: Node) -> None:
    """Twenty of them filled the queue, and each vote that came later waited for all of them: for seconds."""
    body = json.dumps([{"option": "happy", "id": f"{i:060d}"} for i in range(2_000)]).encode()
    node.server._app._bodies._most = 100 * len(body)
    node.replica.held = []
    with ExitStack() as sockets:
        crowd = [dial(node, sockets, POST % (b"/votes", len(body)) + body) for _ in range(3)]
        wait_for("all have come", lambda: node.server._app._bodies._held == 3 * len(body))
        wait_for("one is proposed", lambda: node.replica.held)
        small = dial(node, sockets, POST % (b"/votes", 18) + b'{"option":"happy"}')
        wait_for("the small one is proposed", lambda: len(node.replica.held or ()) == 2)
        assert [True, False] == [len(proposed) > 20_000 for proposed, _ in node.replica.held]
        node.call(node.replica.commit_held)
        assert [200] * 4 == [status_of(sock) for sock in (small, *crowd)]


def test_who_waits_too_long_behind_very_many_votes_is_refused(node: Node) -> None:
    body = json.dumps([{"option": f"{i:060d}"} for i in range(2_000)]).encode()
    node.server._app._bodies._most = 100 * len(body)
    node.call(object.__setattr__, node.api.limits, "timeout_s", 0.05)
    node.run(node.api.big_votes._one.acquire())
    assert 429 == node.ask("POST", "/votes", body).status
    node.call(node.api.big_votes._one.release)
    node.call(object.__setattr__, node.api.limits, "timeout_s", 10.0)
    assert 200 == node.ask("POST", "/votes", body).status


@pytest.mark.parametrize("option", ["happy", "nonsense"])
def test_after_very_many_votes_of_which_most_are_refused_there_is_a_rest(
    node: Node, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(big_votes, "REST_AFTER_REFUSED", 1e9)  # then the bound holds
    body = json.dumps([{"option": option, "id": f"{i:060d}"} for i in range(2_000)]).encode()
    node.server._app._bodies._most = 100 * len(body)
    node.call(object.__setattr__, node.api.limits, "timeout_s", 1.0)
    assert 200 == node.ask("POST", "/votes", body).status
    assert (200 if option == "happy" else 429) == node.ask("POST", "/votes", body).status
    assert 200 == node.ask("POST", "/votes", {"option": "happy"}).status


@pytest.mark.parametrize("pieces", [b"1\r\n \r\n" * 300, b"0\r\n" + b"a:\r\n" * 300], ids=["chunks", "trailers"])
def test_a_body_that_comes_in_crumbs_is_refused(node: Node, pieces: bytes) -> None:
    """Each costs a call: twenty megabytes of them took the loop seconds."""
    head = b"POST /votes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    vote = b"12\r\n" + b'{"option":"happy"}' + b"\r\n"
    with ExitStack() as sockets:
        assert 400 == status_of(dial(node, sockets, head + vote + pieces))
    assert {"happy": 0, "sad": 0} == node.tally()


def test_a_body_of_short_lines_in_a_chunk_each_is_taken(node: Node) -> None:
    kind = b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
    head = b"POST /votes HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % kind
    line = b'{"option":"sad"}\n'
    with ExitStack() as sockets:
        sock = dial(node, sockets, head + b"%x\r\n%b\r\n" % (len(line), line) * 5_000 + b"0\r\n\r\n")
        assert 200 == status_of(sock)
    assert {"happy": 0, "sad": 5_000} == node.tally()


def test_a_body_that_is_refused_is_passed_over_slowly_and_the_connection_goes_on(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred clients that send four megabytes for a route that takes none had the loop do nothing else."""
    size = 300_000
    monkeypatch.setattr(node.server._shared.passed_over, "_step_s", 0.2)
    node.call(node.server._shared.passed_over.join, lambda: None)  # another one's piece is passed over just now
    with ExitStack() as sockets:
        sock = dial(node, sockets, POST % (b"/producers", size) + bytes(1_000))
        assert 413 == status_of(sock)
        sock.sendall(bytes(1_000))
        wait_for("it is not read for a while", lambda: any(c.flow.read_paused for c in node.server._open()))
        sock.sendall(bytes(size - 2_000) + LIVEZ % b"")
        assert 200 == status_of(sock)
        wait_for("it is read as ever", lambda: not any(c.flow.read_paused for c in node.server._open()))
        sock.sendall(LIVEZ % b"")
        assert 200 == status_of(sock)
