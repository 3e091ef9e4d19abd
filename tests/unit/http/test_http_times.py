"""What takes too long on the server's real sockets: heads, bodies and answers that do not go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from quorate.http import server
from tests.support.http_node import MOOD, TIMEOUT_S, Node, answer_of, running
from tests.support.waiting import wait_for
from tests.unit.http.test_http_server import VOTE, has_received, read_all, request


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """It looks often at what takes long. Each test says with what it has no patience, and from when on."""
    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def test_slow_headers_are_cut(node: Node) -> None:
    with node.dial() as sock:
        sock.sendall(sent := b"GET /livez HTTP/1.1\r\nX: ")
        wait_for("the first of them are there", lambda: has_received(node, sent))
        node.limit(head_timeout_s=0.1)
        assert b"HTTP/1.1 408 " == read_all(sock)[:13]


def test_a_connection_that_says_nothing_is_cut(node: Node) -> None:
    node.limit(body_timeout_s=0.1)
    with node.dial() as sock:
        read_all(sock)


def test_a_slow_body_is_cut_and_counts_nothing(node: Node) -> None:
    node.limit(body_timeout_s=0.1)
    with node.dial() as sock:
        sock.sendall(request(VOTE % b"a", length=1_000))
        answer = read_all(sock)
    assert b"HTTP/1.1 408 " == answer[:13]
    assert b'"definite":true' in answer
    assert {"happy": 0, "sad": 0} == node.tally()
    wait_for("its task ends", lambda: not node.server._state.tasks)


def test_the_rest_of_a_body_that_was_refused_gets_no_second_answer(node: Node) -> None:
    node.limit(body_timeout_s=0.1)
    with node.dial() as sock:
        sock.sendall(request(length=100 * 1024 * 1024))
        answers = read_all(sock)
    assert [b"413"] == [answer[:3] for answer in answers.split(b"HTTP/1.1 ")[1:]]


def time_passes(node: Node, seconds: float) -> None:
    then_s = node.loop.time() + seconds
    wait_for("the time to pass", lambda: node.loop.time() > then_s)


def test_an_idle_connection_is_not_cut_by_the_sweep(node: Node) -> None:
    with contextlib.closing(node.connect()) as connection:
        for _ in range(2):
            connection.request("GET", "/livez")
            assert 200 == answer_of(connection.getresponse()).status
            node.limit(head_timeout_s=0.1, body_timeout_s=0.1)
            time_passes(node, 0.3)  # three head timeouts


def test_a_client_that_takes_no_answer_is_cut(node: Node) -> None:
    node.ask("POST", "/polls", {"id": "big", "options": [f"{i:07d} {'x' * 200}" for i in range(18_000)]})
    with node.dial() as sock:
        sock.sendall(b"GET /polls/big/results HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
        wait_for("it is connected", lambda: node.server.connections == 1)
        node.limit(stall_timeout_s=0.1)
        wait_for("it is cut", lambda: node.server.connections == 0)


def test_no_outcome_in_time_is_unknown(node: Node) -> None:
    node.replica.held = []
    node.limit(timeout_s=0.2)
    answer = node.vote(option="happy", id="a")
    assert (504, "outcome-unknown") == (answer.status, answer.json["type"])
    assert (False, "same-id") == (answer.json["definite"], answer.json["retry"])


def test_no_leader_in_time_is_surely_not_counted(node: Node) -> None:
    node.call(node.replica.lead, None)
    node.limit(timeout_s=0.2)
    answer = node.vote(option="happy", id="a")
    assert (503, "no-leader", "1") == (answer.status, answer.json["type"], answer.headers["retry-after"])
    assert (True, "safe", "") == (answer.json["definite"], answer.json["retry"], answer.headers["x-quorate-leader"])


@pytest.mark.parametrize("path", ["/polls/mood/results", "/polls/mood", "/polls"])
def test_a_read_ends_when_no_majority_answers(node: Node, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.doors.reading.MAJORITY_S", 0.01)
    monkeypatch.setattr(node.replica, "barrier", lambda: asyncio.sleep(TIMEOUT_S))
    answer = node.ask("GET", f"{path}?level=linearizable&wait=10ms")
    assert (503, "stale") == (answer.status, answer.json["type"])
