"""Small votes have a door of their own, without ASGI. Whoever asks notices nothing of it, whatever the request is."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quorate.doors.limits import Limits
from quorate.http.asgi import AsgiApp
from quorate.http.small_votes import SMALL_BYTES
from tests.support.http_node import MOOD, TIMEOUT_S, Node, running
from tests.support.waiting import let_pass, wait_for


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def request(vote: Any, *lines: str) -> bytes:
    body = json.dumps(vote).encode()
    head = ["POST /votes HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
VOTE = {"option": "happy", "id": "a"}


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65_536), b""))


def statuses(sock: socket.socket) -> list[str]:
    """Of all answers, the last of which is that to a request to close."""
    with contextlib.suppress(OSError):  # it is closed already
        sock.sendall(LIVEZ.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n")
    return [part[:3].decode() for part in read_all(sock).split(b"HTTP/1.1 ")[1:]]


@pytest.fixture
def by_asgi(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of what came to the ASGI app."""
    came: list[str] = []
    answer = AsgiApp.__call__

    async def noted(app: AsgiApp, scope: Any, receive: Any, send: Any) -> None:
        came.append(scope["path"])
        await answer(app, scope, receive, send)

    monkeypatch.setattr(AsgiApp, "__call__", noted)
    return came


def test_a_small_vote_needs_no_asgi(node: Node, by_asgi: list[str]) -> None:
    assert (200, 1) == ((answer := node.vote(**VOTE)).status, answer.json["applied"])
    assert 404 == node.vote(option="none").status
    assert [] == by_asgi
    assert {("/votes", 200): 1, ("/votes", 404): 1}.items() <= node.api.counts.requests.items()


@pytest.mark.parametrize(
    "lines",
    [
        ["Origin: http://127.0.0.1:8001"],
        ["Expect: 100-continue"],
        ["Connection: close"],
        [f"X-{number}: 1" for number in range(40)],
    ],
    ids=["of a page", "asks before", "closes", "many headers"],
)
def test_what_is_not_plain_goes_by_asgi(node: Node, by_asgi: list[str], lines: list[str]) -> None:
    with node.dial() as sock:
        sock.sendall(request(VOTE, *lines))
        assert "200" in statuses(sock)
    assert "/votes" == by_asgi[0]


def test_http_1_0_goes_by_asgi_and_closes(node: Node, by_asgi: list[str]) -> None:
    with node.dial() as sock:
        sock.sendall(request(VOTE, "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b"\r\nconnection: close\r\n" in read_all(sock)
    assert ["/votes"] == by_asgi


def test_of_requests_that_come_at_once_only_one_is_done_at_once(node: Node, by_asgi: list[str]) -> None:
    """A client may send thousands that are refused. Those behind the first wait in the line of all clients."""
    with node.dial() as sock:
        sock.sendall(request({"option": 7}) * 10)
        assert ["400"] * 10 + ["200"] == statuses(sock)
    assert ["/votes"] * 9 + ["/livez"] == by_asgi


def test_a_body_that_is_not_small_goes_by_asgi(node: Node, by_asgi: list[str]) -> None:
    votes = [{"option": "happy", "id": f"v{number:020}"} for number in range(SMALL_BYTES // 40)]
    assert len(votes) == node.ask("POST", "/votes", votes).json["applied"]
    assert ["/votes"] == by_asgi


@pytest.mark.parametrize("at_once", [1, 7, 90])
def test_a_request_that_comes_in_pieces_is_answered_alike(node: Node, at_once: int) -> None:
    """Most clients send head and body apart."""
    data = request(VOTE)
    with node.dial() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), at_once):
            sock.sendall(data[start : start + at_once])
            let_pass(0.002, because="each piece comes alone")
        assert ["200", "200"] == statuses(sock)
    assert 1 == node.tally()["happy"]


def test_a_node_that_stops_takes_the_body_that_is_to_come(node: Node) -> None:
    data = request(VOTE)
    with node.dial() as sock, ThreadPoolExecutor(1) as pool:
        sock.sendall(data[:-5])
        wait_for("it waits for the body", lambda: any(each._small for each in node.server._open()))
        stopping = pool.submit(node.run, node.server.stop(TIMEOUT_S))
        wait_for("it stops", lambda: not node.server._servers)
        sock.sendall(data[-5:])
        answer = read_all(sock)
        stopping.result(TIMEOUT_S)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer


def test_a_body_that_does_not_come_is_told() -> None:
    with running() as node, node.dial() as sock:
        sock.sendall(LIVEZ)
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200 ")
        sock.sendall(request(VOTE)[:-5])
        node.limit(body_timeout_s=0.1)
        assert read_all(sock).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed() -> None:
    with running(limits=Limits(keep_alive_s=0)) as node, node.dial() as sock:
        sock.sendall(LIVEZ)
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")


def test_a_vote_waits_while_the_answers_before_it_are_not_read(node: Node) -> None:
    node.hold_little_in_sockets()
    node.ask("POST", "/polls", {"id": "big", "options": [f"{number:0250}" for number in range(12_000)]})
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", node.port))
        sock.sendall(LIVEZ.replace(b"/livez", b"/polls/big/results"))
        wait_for("answers wait to be read", lambda: any(each.flow.write_paused for each in node.server._open()))
        wait_for("no more is read for now", lambda: len(node.server._state.tasks) == 0)
        before = node.tally()
        sock.sendall(request(VOTE))
        assert 200 == node.ask("GET", "/livez").status
        assert before == node.tally()
        assert ["200"] * 3 == statuses(sock)
    assert 1 == node.tally()["happy"]


def test_the_next_vote_waits_for_the_answer_to_the_one_before(node: Node) -> None:
    node.replica.held = held = list[Any]()
    with node.dial() as sock:
        sock.sendall(request(VOTE))
        wait_for("the vote is proposed", lambda: len(held) == 1)
        sock.sendall(request({"option": "sad", "id": "b"}))
        wait_for("the next one waits", lambda: any(each.pipeline for each in node.server._open()))
        assert 1 == len(held)
        node.replica.held = None
        node.call(lambda: node.replica.commit(*held.pop()))
        assert ["200"] * 3 == statuses(sock)
    assert {"happy": 1, "sad": 1} == node.tally()


def test_a_node_that_stops_waits_for_votes_whose_clients_have_left(node: Node) -> None:
    """What they are told is lost. What is counted should not depend on it."""
    node.replica.held = held = list[Any]()
    with node.dial() as sock, ThreadPoolExecutor(1) as pool:
        sock.sendall(request(VOTE))
        wait_for("the vote is proposed", lambda: len(held) == 1)
        sock.close()
        wait_for("its client has left", lambda: node.server.connections == 0)
        stopping = pool.submit(node.run, node.server.stop(TIMEOUT_S))
        wait_for("it stops", lambda: not node.server._servers)
        assert not stopping.done()
        node.call(lambda: node.replica.commit(*held.pop()))
        stopping.result(TIMEOUT_S)


def test_a_big_head_that_came_in_pieces_is_not_held(node: Node) -> None:
    data = request(VOTE, "X-Long: " + 8_000 * "x")
    with node.dial() as sock:
        sock.sendall(data[:6_000])
        wait_for("a part has come", lambda: any(each._head_bytes for each in node.server._open()))
        sock.sendall(data[6_000:])
        assert b"HTTP/1.1 200 " in sock.recv(65_536)
        wait_for("nothing is held", lambda: node.server._shared.waiting.held == 0)


def test_what_comes_behind_waits_for_its_turn(node: Node) -> None:
    node.replica.held = held = list[Any]()
    with node.dial() as sock:
        sock.sendall(request(VOTE) + request({"option": "none"}))
        wait_for("the vote is proposed", lambda: len(held) == 1)
        node.replica.held = None
        node.call(lambda: node.replica.commit(*held.pop()))
        assert ["200", "404", "200"] == statuses(sock)


def test_garbage_behind_a_vote_does_not_read_as_its_answer(node: Node) -> None:
    node.replica.held = held = list[Any]()
    with node.dial() as sock:
        sock.sendall(request(VOTE) + b"\0garbage\r\n\r\n")
        wait_for("the vote is proposed", lambda: len(held) == 1)
        assert b"" == read_all(sock)


def test_a_failure_of_the_handler_is_told_once_and_logged(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(node.api.submitter, "cast_columns", broken)
    assert 500 == node.vote(**VOTE).status
    assert ["a request to /votes failed unexpectedly; answered 500"] == [r.message for r in caplog.records]
    assert 200 == node.ask("GET", "/livez").status


def test_a_failure_after_the_votes_were_decided_is_answered_too(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(node.api.refusals), "of", broken)
    assert 500 == node.vote(option="none").status
    assert ["a request to /votes failed unexpectedly; answered 500"] == [r.message for r in caplog.records]
    assert 200 == node.vote(**VOTE).status
