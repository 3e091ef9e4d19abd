"""Bytes that nobody reads: requests behind requests, answers and events that clients leave lying."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from quorate.doors import unsent
from quorate.doors.limits import Limits
from quorate.doors.reading_pace import ReadingPace
from quorate.http import server
from quorate.http.intake import FIRST_BYTES, PIPELINED_MAX, QUEUED_BYTES, SLICE_BYTES
from tests.support.http_node import MOOD, TIMEOUT_S, Node, answer_of, running
from tests.support.waiting import wait_for

GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIVEZ = GET % b"/livez"
FOLLOW = GET % b"/events?poll=mood"
MEGABYTE = 1024 * 1024
BIG = {"id": "big", "options": [f"{i:05d}{'x' * 245}" for i in range(12_000)]}  # its results have 3 MB


@pytest.fixture
def node() -> Iterator[Node]:
    with running(streams=100) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


@contextlib.contextmanager
def big_node(**limits: Any) -> Iterator[Node]:
    with running(streams=100, limits=Limits(**limits)) as node:
        node.hold_little_in_sockets()
        node.ask("POST", "/polls", MOOD)
        assert 201 == node.ask("POST", "/polls", BIG).status
        wait_for("the connections that asked for it are gone", lambda: not node.server._open())
        yield node


def dial(node: Node, sockets: ExitStack, sent: bytes = b"") -> socket.socket:
    """A client that reads nothing by itself; its own buffer is small."""
    sock = sockets.enter_context(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    sock.settimeout(TIMEOUT_S)
    sock.connect(("127.0.0.1", node.port))
    sock.sendall(sent)
    return sock


def read_answers(sock: socket.socket, number: int) -> list[int]:
    reader = sock.makefile("rb")
    statuses = []
    for _ in range(number):
        response = http.client.HTTPResponse(Reader(reader))  # type: ignore[arg-type]  # all it asks of a socket
        response.begin()
        response.read()
        statuses.append(response.status)
    return statuses


class Reader:
    """`HTTPResponse` makes a reader of its own from a socket, and would lose what that reader has read too much."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def makefile(self, mode: str) -> Any:
        return Unclosed(self._reader)


class Unclosed:
    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def close(self) -> None:
        pass


def queued(node: Node) -> int:
    return sum(len(each.pipeline) for each in node.server._open())


def held(node: Node) -> int:
    return sum(each.unsent for each in node.server._open())


def answered(node: Node, word: str) -> int:
    """How many requests for routes with this word have their answer, whatever it says."""
    return sum(number for (route, _), number in node.api.counts.requests.items() if word in route)


# ---- requests behind requests ---------------------------------------------------------------------------------------


def test_only_few_of_thousands_of_requests_wait_behind_a_stream(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream never ends, so all of them would stand in memory for ever: 10 KiB each."""
    monkeypatch.setattr(
        "quorate.doors.event_stream.HEARTBEAT_S", 0.1
    )  # nothing is read, so this finds out that the client has left
    with ExitStack() as sockets:
        dial(node, sockets, FOLLOW + LIVEZ * 4_000)
        wait_for("it follows", lambda: node.api.counts.streams == 1)
        wait_for("some wait", lambda: queued(node) >= PIPELINED_MAX)
        most = PIPELINED_MAX + max(FIRST_BYTES, SLICE_BYTES) // len(b"GET / HTTP/1.1\r\n\r\n")
        assert queued(node) <= most
        assert node.server._shared.waiting.held >= QUEUED_BYTES * queued(node)
    wait_for("nothing of it is left", lambda: not node.server._shared.waiting.held)


def test_every_one_of_thousands_of_pipelined_requests_is_answered_in_order(node: Node) -> None:
    votes = [b'{"option":"happy","id":"%04d"}' % number for number in range(2_000)]
    head = b"POST /votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    with ExitStack() as sockets:
        sock = dial(node, sockets)
        sending = threading.Thread(target=sock.sendall, args=[b"".join(head % len(vote) + vote for vote in votes)])
        sending.start()
        assert {200} == set(read_answers(sock, len(votes)))
        sending.join(TIMEOUT_S)
        assert {"happy": 2_000, "sad": 0} == node.tally()
        wait_for("nothing is charged any more", lambda: not node.server._shared.waiting.held)
        sock.sendall(LIVEZ)
        assert [200] == read_answers(sock, 1)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_long_body_behind_other_requests_arrives(node: Node, chunked: bool) -> None:
    body = b'[{"option":"happy"}' + b',{"option":"happy"}' * 9_999 + b"]"
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    post = b"POST /votes HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n%b" % (framing, framed)
    with ExitStack() as sockets:
        sock = dial(node, sockets)
        sending = threading.Thread(target=sock.sendall, args=[LIVEZ * 40 + post + LIVEZ * 40 + post])
        sending.start()
        assert {200} == set(read_answers(sock, 82))
        sending.join(TIMEOUT_S)
    assert {"happy": 20_000, "sad": 0} == node.tally()


def test_connections_with_much_behind_a_request_are_broken_off_when_the_budget_is_used_up() -> None:
    with (
        running(streams=100, limits=Limits(waiting_bytes=2 * PIPELINED_MAX * QUEUED_BYTES)) as node,
        ExitStack() as sockets,
    ):
        node.ask("POST", "/polls", MOOD)
        for _ in range(10):
            with contextlib.suppress(OSError):
                dial(node, sockets, FOLLOW + LIVEZ * 1_000)
        wait_for("some are broken off", lambda: node.server.connections < 10)
        waiting = node.server._shared.waiting
        wait_for("the budget holds", lambda: not waiting.is_used_up)
        with dial(node, sockets, LIVEZ * 3) as honest:
            assert [200] * 3 == read_answers(honest, 3)


# ---- answers --------------------------------------------------------------------------------------------------------


def test_a_next_answer_is_not_made_while_the_one_before_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with big_node() as node, ExitStack() as sockets:
        begun: list[str] = []
        read = node.api.reads.results

        async def results(poll_id: str, **how: Any) -> Any:
            begun.append(poll_id)
            return await read(poll_id, **how)

        monkeypatch.setattr(node.api.reads, "results", results)
        sock = dial(node, sockets)
        for _ in range(8):
            sock.sendall(GET % b"/polls/big/results")
        wait_for("one waits", lambda: held(node) > MEGABYTE)
        node.ask("GET", "/livez")
        assert (["big"], True) == (begun, held(node) < 4 * MEGABYTE)
        assert [200] * 8 == read_answers(sock, 8)


def test_big_answers_that_nobody_reads_have_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that hold theirs for seconds are broken off for a client that reads; before, it is told to try again."""
    monkeypatch.setattr(unsent, "COUNT_AGAIN_S", 0.0)
    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    with big_node(unsent_bytes=8 * MEGABYTE) as node, ExitStack() as sockets:
        monkeypatch.setattr(unsent, "SLOW_S", 1_000.0)
        for _ in range(12):
            dial(node, sockets, GET % b"/polls/big/results")
        wait_for("all are asked", lambda: answered(node, "results") >= 12)
        refusal = node.ask("GET", "/polls/big/results")
        assert (429, "overloaded", True) == (refusal.status, refusal.json["type"], refusal.json["definite"])
        assert held(node) < 9 * MEGABYTE
        assert 200 == node.ask("GET", "/polls/mood/results").status, "small answers always have room"
        monkeypatch.setattr(unsent, "SLOW_S", 0.0)
        wait_for("all that do not read are slow", lambda: any(each.unread_since_s for each in node.server._open()))
        assert 200 == node.ask("GET", "/polls/big/results").status
        assert node.server._shared.unsent.broken_off > 0


def test_small_answers_that_nobody_reads_come_to_an_end_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten thousand connections, each with 64 KiB of them, they took 640 MB, ten times what they may."""
    monkeypatch.setattr(unsent, "SLOW_S", 0.0)
    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    with running(streams=100, limits=Limits(unsent_bytes=128 * 1024)) as node, ExitStack() as sockets:
        node.hold_little_in_sockets()
        for _ in range(20):
            with contextlib.suppress(OSError):
                dial(node, sockets, LIVEZ * 1_500)
        wait_for("some are broken off", lambda: node.server._shared.unsent.broken_off > 0)
        wait_for("the rest is within the budget", lambda: held(node) <= 128 * 1024)
        assert max((each.unsent for each in node.server._open()), default=0) < 32 * 1024
        assert 200 == node.ask("GET", "/livez").status


def test_a_big_answer_counts_whole_until_its_last_byte_is_sent() -> None:
    """The loop keeps all of it for the rest: sixty streams held 264 MB for 17 MB that were not sent."""
    with big_node() as node, ExitStack() as sockets:
        sock = dial(node, sockets, GET % b"/polls/big/results")
        wait_for("it waits", lambda: held(node) > MEGABYTE)
        (connection,) = node.server._open()
        reader = sock.makefile("rb")
        reader.read(2 * MEGABYTE)
        wait_for("little is left", lambda: connection.transport.get_write_buffer_size() < MEGABYTE)
        assert 3_000_000 < connection.unsent
        sock.close()
        reader.close()


def test_an_answer_that_is_read_a_little_at_a_time_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes progress at every look, and would hold its megabytes for hours."""
    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    with big_node(answer_bytes_per_s=1_000 * MEGABYTE) as node, ExitStack() as sockets:
        sock = dial(node, sockets, GET % b"/polls/big/results")
        wait_for("it waits", lambda: held(node) > MEGABYTE)
        node.limit(stall_timeout_s=0.3)

        def is_cut_while_it_reads() -> bool:
            with contextlib.suppress(OSError):
                sock.recv(32_000)
            return node.server.connections == 0

        wait_for("it is cut", is_cut_while_it_reads)


def test_a_big_answer_is_read_in_the_time_that_its_size_allows() -> None:
    pace, limits, size = ReadingPace(), Limits(stall_timeout_s=30.0, answer_bytes_per_s=1_000), 100_000
    cut_s = next(s for s in range(1_000) if pace.is_too_slow(size - 10 * s, size, limits, float(s)))
    assert 30 + 100 + 1 == cut_s


# ---- events ---------------------------------------------------------------------------------------------------------


def test_streams_that_nobody_reads_have_the_same_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty of 100,000 options held 600 MB. One that waits holds what all others that wait hold."""
    monkeypatch.setattr(unsent, "SLOW_S", 1_000.0)
    with big_node(unsent_bytes=8 * MEGABYTE) as node, ExitStack() as sockets:
        for _ in range(20):
            dial(node, sockets, GET % b"/events?poll=big")
        wait_for("all follow", lambda: node.api.counts.streams == 20)
        wait_for("the budget is used", lambda: held(node) > 2 * MEGABYTE)
        wait_for("others wait with their events", lambda: sum(each._pending != {} for each in streams(node)) > 10)
        wait_for("all hold the same", lambda: 1 == len({id(e._pending["big"]) for e in streams(node) if e._pending}))
        assert held(node) < 12 * MEGABYTE
        assert 20 == node.api.counts.streams


def streams(node: Node) -> list[Any]:
    return list(node.api.events._followers)


# ---- Flask ----------------------------------------------------------------------------------------------------------


def test_clients_that_do_not_read_keep_no_thread() -> None:
    """Each such answer kept one of 72 places: 80 clients turned every route of Flask into 503."""
    with big_node(threads=1, waiting=1) as node, ExitStack() as sockets:
        for number in range(4):
            dial(node, sockets, GET % b"/polls/big")
            wait_for("it has its answer", lambda: held(node) > (number + 1) * MEGABYTE)  # noqa: B023  # called here
        assert 0 == node.server._app._in_flask
        assert 200 == node.ask("GET", "/version").status


@pytest.mark.parametrize("path", ["/polls/mood", "/", "/static/page.js", "/metrics", "/openapi.json", "/nowhere"])
def test_answers_of_flask_have_a_length_and_come_whole(node: Node, path: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: node.ask("GET", path), range(4)))
    assert 1 == len({answer.status for answer in answers})
    assert [len(a.body) for a in answers] == [int(a.headers["content-length"]) for a in answers]
    with contextlib.closing(node.connect()) as asking:
        asking.request("HEAD", path)
        head = answer_of(asking.getresponse())
    assert (answers[0].status, b"") == (head.status, head.body)
