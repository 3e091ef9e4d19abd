"""The server on real sockets: how it bounds clients in bytes, time and number, and how it stops."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quorate.doors.limits import Limits
from quorate.errors import ConfigError
from quorate.http import flask_loader, parse_pool, server
from tests.support.http_node import MOOD, TIMEOUT_S, Node, answer_of, running
from tests.support.waiting import wait_for

VOTE = b'{"option":"happy","id":"%s"}'


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def request(body: bytes = b"", path: bytes = b"/votes", *more: bytes, length: int | None = None) -> bytes:
    """The bytes of a POST."""
    size = b"Content-Length: %d" % (len(body) if length is None else length)
    return b"\r\n".join([b"POST %s HTTP/1.1" % path, b"Host: localhost", size, *more, b"", body])


def read_all(sock: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def read_one(sock: socket.socket) -> tuple[int, Any]:
    response = http.client.HTTPResponse(sock)
    response.begin()
    answer = answer_of(response)
    return answer.status, json.loads(answer.body)


# ---- bytes ----------------------------------------------------------------------------------------------------------


def test_a_body_of_100_mb_is_refused_before_it_is_read(node: Node) -> None:
    with node.dial() as sock:
        sock.sendall(request(length=100 * 1024 * 1024))
        status, document = read_one(sock)
    assert (413, "too-large", 4 * 1024 * 1024) == (status, document["type"], document["limit"])


def test_a_client_that_sends_100_mb_regardless_still_gets_its_answer(node: Node) -> None:
    with contextlib.closing(node.connect()) as connection:
        connection.request("POST", "/votes", bytes(100 * 1024 * 1024))
        assert 413 == connection.getresponse().status


def test_a_body_without_a_length_is_refused_when_it_is_too_big(node: Node) -> None:
    with node.dial() as sock:
        sock.sendall(b"POST /votes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            sock.sendall(b"100000\r\n" + bytes(0x100000) + b"\r\n")
        assert 413 == read_one(sock)[0]


def test_a_body_in_chunks_is_read(node: Node) -> None:
    with contextlib.closing(node.connect()) as connection:
        parts = [b'{"option":', b'"happy"', b"}"]
        connection.request("POST", "/votes", iter(parts), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        assert 200 == connection.getresponse().status
    assert {"happy": 1, "sad": 0} == node.tally()


def test_a_poll_may_be_bigger_than_a_batch_of_votes(node: Node) -> None:
    options = [f"option {i:07d} {'x' * 40}" for i in range(74_000)]
    assert 201 == node.ask("POST", "/polls", {"id": "big", "options": options}).status


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\n" + b"X-Padding: " + b"x" * 70_000,
        b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"GET /" + b"x" * 70_000,
    ],
)
def test_headers_without_end_are_refused(node: Node, head: bytes) -> None:
    with node.dial() as sock:
        sock.sendall(head)
        assert b"HTTP/1.1 431 " == read_all(sock)[:13]


@pytest.mark.parametrize(
    "garbage", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100]
)
def test_what_is_not_http_gets_one_answer(node: Node, garbage: bytes) -> None:
    with node.dial() as sock:
        sock.sendall(garbage)
        answer = read_all(sock)
    assert b"HTTP/1.1 400 Bad Request" == answer[:24]
    assert b"application/problem+json" in answer
    assert 1 == node.api.counts.bad_requests


# ---- one connection, several requests -------------------------------------------------------------------------------


def test_pipelined_votes_are_answered_in_order(node: Node) -> None:
    with node.dial() as sock:
        votes = [request(VOTE % b"a%d" % i) for i in range(20)]
        sock.sendall(b"".join([*votes, request(b"{"), request(VOTE % b"b", b"/votes", b"Connection: close")]))
        answers = read_all(sock).split(b"HTTP/1.1 ")[1:]
    assert [b"200"] * 20 + [b"400", b"200"] == [answer[:3] for answer in answers]
    versions = [
        int(answer.partition(b"x-quorate-version: ")[2].split()[0]) for answer in answers if b"200" == answer[:3]
    ]
    assert sorted(versions) == versions
    assert 21 == node.tally()["happy"]


def test_a_connection_is_used_again_after_an_error(node: Node) -> None:
    with contextlib.closing(node.connect()) as connection:
        statuses = []
        for body in (b"{", VOTE % b"a", bytes(5_000_000), VOTE % b"b"):
            connection.request("POST", "/votes", body)
            statuses.append(answer_of(connection.getresponse()).status)
    assert [400, 200, 413, 200] == statuses


def test_garbage_after_a_vote_gets_no_answer_of_its_own(node: Node) -> None:
    """The client would take a 400 for the answer to the vote: surely not counted. A closed connection says nothing."""
    node.replica.held = []
    with node.dial() as sock:
        sock.sendall(request(VOTE % b"a") + b"garbage\r\n\r\n")
        assert b"" == read_all(sock)


# ---- number ---------------------------------------------------------------------------------------------------------


def test_connections_over_the_limit_are_refused_in_words() -> None:
    with running(limits=Limits(connections=2)) as node, node.dial() as first, node.dial() as second:
        for following in (first, second):
            following.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for("both are at work", lambda: node.api.counts.streams == 2)
        with node.dial() as third:
            assert b"HTTP/1.1 503 " == read_all(third)[:13]
        assert 1 == node.api.counts.refused_connections


@pytest.mark.parametrize(
    "sent", [b"", b"GET /livez HTTP/1.1\r\nX: ", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"]
)
def test_the_connection_that_is_idle_longest_makes_room_for_a_new_one(sent: bytes) -> None:
    with running(limits=Limits(connections=2)) as node, node.dial() as following, node.dial() as idle:
        following.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for("one is at work", lambda: node.api.counts.streams == 1)
        idle.sendall(sent)
        if sent.endswith(b"\r\n\r\n"):
            assert b"HTTP/1.1 200 " == idle.recv(65_536)[:13]
        wait_for("the other has said that", lambda: has_received(node, sent))
        assert 200 == node.ask("GET", "/livez").status
        assert b"" == read_all(idle)
        assert 1 == node.server._shared.places.closed_idle
        assert 1 == node.api.counts.streams


def has_received(node: Node, sent: bytes) -> bool:
    return not sent or any(connection._head_bytes or connection.cycle for connection in node.server._open())


def test_when_all_threads_of_flask_are_busy_the_refusal_comes_at_once() -> None:
    release = threading.Event()
    wait = {"version": lambda: {"waited": release.wait(TIMEOUT_S)}}
    with running(limits=Limits(threads=1, waiting=1), **wait) as node, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(node.ask, "GET", "/version") for _ in range(2)]
        wait_for("both are taken", lambda: node.server._app._in_flask == 2)
        answer = node.ask("GET", "/leader")
        assert 200 == node.ask("GET", "/livez").status, "health is answered on the loop"
        release.set()
        assert [200, 200] == [future.result(TIMEOUT_S).status for future in waiting]
    assert (503, "not-ready", "1") == (answer.status, answer.json["type"], answer.headers["retry-after"])


def test_too_many_unfinished_bodies_are_refused(node: Node) -> None:
    node.server._app._bodies._most = 1_000_000
    part = bytes(700_000)
    with node.dial() as first, node.dial() as second:
        first.sendall(request(part, length=800_000))
        wait_for("its first part is here", lambda: node.server._app._bodies._held == 700_000)
        second.sendall(request(part, length=800_000))
        assert 429 == read_one(second)[0]
        first.sendall(bytes(100_000))
        assert 400 == read_one(first)[0]
    wait_for("nothing is held", lambda: node.server._app._bodies._held == 0)


def test_too_many_votes_waiting_are_refused(node: Node) -> None:
    node.replica.held = []
    node.api.submitter._queue._waiting_bytes_max = 1_000
    answer = node.ask("POST", "/votes", [{"option": "happy"}] * 1_000)
    assert (429, "overloaded", "1") == (answer.status, answer.json["type"], answer.headers["retry-after"])


def test_too_many_big_bodies_to_read_are_refused(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse_pool, "WAITING_MAX", 0)
    many = [{"option": "happy", "id": f"{i:050d}"} for i in range(1_000)]
    assert (429, 200) == (node.ask("POST", "/votes", many).status, node.ask("POST", "/votes", many[:9]).status)


# ---- what fails -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/polls/mood/results", "/polls/mood", "/status"])
def test_an_unexpected_failure_is_logged_and_not_shown(
    path: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("the inside")

    with running(status=fail) as node:
        monkeypatch.setattr(node.replica.state, "poll", fail)
        answer = node.ask("GET", path)
    assert (500, "internal") == (answer.status, answer.json["type"])
    assert b"the inside" not in answer.body
    assert ["RuntimeError"] == [record.exc_info[0].__name__ for record in caplog.records if record.exc_info]  # type: ignore[union-attr]  # asserted by the list


def test_a_port_in_use_is_said_in_words(node: Node) -> None:
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{node.port}.*http\.listen"):
        node.run(node.call(server.HttpServer, node.api).start([("127.0.0.1", node.port)]))


def test_a_node_outside_any_cluster_says_so() -> None:
    with running(form=False) as node:
        answer = node.vote(option="happy")
    assert (503, "not-ready") == (answer.status, answer.json["type"])


# ---- stopping -------------------------------------------------------------------------------------------------------


def test_stopping_answers_requests_in_flight_and_closes_idle_connections(node: Node) -> None:
    held = node.replica.held = list[Any]()
    with node.dial() as idle, node.dial() as voting:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 200 " == idle.recv(65_536)[:13]
        voting.sendall(request(VOTE % b"a"))
        wait_for("the vote is proposed", lambda: len(held) == 1)
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(node.run, node.server.stop(TIMEOUT_S))
            assert b"" == read_all(idle)
            with pytest.raises(ConnectionRefusedError):
                node.dial()
            assert not stopping.done()
            node.call(lambda: node.replica.commit(*held.pop()))
            answer = read_all(voting)
            stopping.result(TIMEOUT_S)
    assert b"HTTP/1.1 200 " == answer[:13]
    assert b"connection: close" in answer
    assert {"happy": 1, "sad": 0} == node.tally()


def test_stopping_does_not_wait_longer_than_told(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    held = node.replica.held = list[Any]()
    with node.dial() as voting:
        voting.sendall(request(VOTE % b"a"))
        wait_for("the vote is proposed", lambda: len(held) == 1)
        node.run(node.server.stop(0.05))
        assert b"" == read_all(voting)
    assert 0 == len(node.server._state.tasks) + len(node.server._small_votes.waiting)
    assert ["cutting 1 requests that did not finish within 0.05 s"] == [record.message for record in caplog.records]


def test_stopping_twice_is_harmless(node: Node) -> None:
    node.run(node.server.stop())
    node.run(node.server.stop())


def test_stopping_ends_event_streams(node: Node) -> None:
    with contextlib.closing(node.connect()) as connection:
        connection.request("GET", "/events?poll=mood")
        response = connection.getresponse()
        response.readline()
        node.run(node.server.stop(TIMEOUT_S))
        response.read()
    assert 0 == len(node.api.events)


def test_stopping_waits_for_flask_while_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = threading.Event(), threading.Event()

    def load_slowly(*given: Any) -> flask_loader.LoadedFlask:
        begun.set()
        release.wait(TIMEOUT_S)
        return load_flask(*given)

    load_flask = flask_loader.load_flask
    monkeypatch.setattr(flask_loader, "load_flask", load_slowly)
    monkeypatch.setattr(flask_loader, "LOAD_AFTER_S", 0.0)
    with running() as node, ThreadPoolExecutor(1) as pool:
        assert begun.wait(TIMEOUT_S)
        stopping = pool.submit(node.run, node.server.stop(0.0))
        with pytest.raises(TimeoutError):
            stopping.result(0.1)
        release.set()
        stopping.result(TIMEOUT_S)
