"""Requests that a client sends before it has its answers begin in one line, so others need not wait for all of them."""

from __future__ import annotations

import asyncio
import gc
import http.client
from itertools import pairwise

import pytest

from quorate.doors.waiting_line import BEGIN, WaitingLine
from quorate.http.connection import IN_VAIN_S
from tests.support.http_node import MOOD, running
from tests.support.on_loop import on_loop
from tests.support.waiting import wait_for

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
NONE = b"GET /polls/none/results HTTP/1.1\r\nHost: localhost\r\n\r\n"
FOLLOW = b"GET /events?poll=mood HTTP/1.1\r\nHost: localhost\r\n\r\n"


@on_loop
async def test_only_few_begin_in_a_step_and_all_in_their_order() -> None:
    line, begun = WaitingLine(step_s=0.01), list[int]()
    for number in range(3 * BEGIN + 1):
        line.join(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert list(range(BEGIN)) == begun, "the first need not wait"
    seen = []
    while len(begun) < 3 * BEGIN + 1:
        seen.append(len(begun))
        await asyncio.sleep(0)
    assert list(range(3 * BEGIN + 1)) == begun
    assert [BEGIN, 2 * BEGIN, 3 * BEGIN] == list(dict.fromkeys(seen))
    await asyncio.sleep(0.03)
    line.join(lambda: begun.append(-1))
    assert -1 == begun[-1], "after a quiet time nobody waits"


def test_of_many_clients_that_send_all_at_once_only_few_requests_begin_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred such clients made each turn of the loop last ten milliseconds, and a vote takes several turns."""
    with running() as node:
        answered: list[int] = []  # at each step
        line = node.server._shared.line
        step = line._next_step

        def counted() -> None:
            answered.append(node.api.counts.requests.get(("/livez", 200), 0))
            step()

        monkeypatch.setattr(line, "_next_step", counted)
        socks = [node.dial() for _ in range(20)]
        for sock in socks:
            sock.sendall(LIVEZ * 50)
        wait_for("all are answered", lambda: node.api.counts.requests.get(("/livez", 200), 0) == 1_000)
        for sock in socks:
            sock.close()
        most = max(after - before for before, after in pairwise(answered))
        assert most <= BEGIN + len(socks), "the first request of each connection is not in the line"


def test_a_client_that_leaves_while_its_request_is_in_the_line_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        monkeypatch.setattr(node.server._shared.line, "_step_s", 0.2)
        wait_for("a new step", lambda: node.server._shared.line._step is None)
        node.server._shared.line._left = 0
        with node.dial() as sock:
            sock.sendall(LIVEZ + FOLLOW)
            assert b"HTTP/1.1 200 " == sock.recv(65_536)[:13]
            wait_for("the second is in the line", lambda: node.server._shared.line._few)
        wait_for("it had its turn", lambda: not node.server._shared.line._few)
        assert 200 == node.ask("GET", "/livez").status
        assert 0 == node.api.counts.streams


def test_a_client_that_sends_all_at_once_is_answered_in_order() -> None:
    with running() as node, node.dial() as sock:
        node.ask("POST", "/polls", MOOD)
        body = b'{"option":"happy","id":"%03d"}'
        head = b"POST /votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        votes = [body % number for number in range(100)]
        sock.sendall(b"".join(head % len(vote) + vote for vote in votes))
        reader = sock.makefile("rb")
        for _ in votes:
            assert b"HTTP/1.1 200 OK\r\n" == reader.readline()
            headers = http.client.parse_headers(reader)
            reader.read(int(headers["content-length"]))
        assert {"happy": 100, "sad": 0} == node.tally()


def test_a_request_leaves_nothing_to_the_collector_of_garbage() -> None:
    """Thirteen objects of each were left to it; to look for them took half of the time of clients that ask quickly."""
    with running() as node, node.dial() as sock:
        reader = sock.makefile("rb")

        def ask() -> None:
            sock.sendall(LIVEZ)
            assert b"HTTP/1.1 200 OK\r\n" == reader.readline()
            reader.read(int(http.client.parse_headers(reader)["content-length"]))

        ask()
        gc.collect()
        gc.disable()
        try:
            for _ in range(100):
                ask()
            assert gc.collect() < 100
        finally:
            gc.enable()


def test_whoever_was_refused_stands_in_line_with_the_next_request_until_one_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fifty clients that asked for a poll that is not there had all three nodes do nothing else."""
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        charged = list[float]()
        monkeypatch.setattr(node.server._shared.in_vain, "charge", charged.append)
        client = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        stood = []
        for path in ("/livez", "/polls/none/results", "/polls/none/results", "/polls/mood/results", "/livez"):
            charged.clear()
            client.request("GET", path)
            client.getresponse().read()
            stood.append([IN_VAIN_S] == charged)
        client.close()
        other = node.ask("GET", "/livez")
    assert [False, False, True, True, False] == stood
    assert 200 == other.status


def test_those_who_were_refused_begin_when_the_line_has_time() -> None:
    with running() as node:
        line = node.server._shared.in_vain

        def stop() -> None:
            line.charge(60.0)  # this step has had its time
            assert line._step is not None
            line._step.cancel()  # and the next one does not come

        socks = [node.dial() for _ in range(5)]
        for sock in socks:
            sock.sendall(NONE)
            assert sock.recv(65_536).startswith(b"HTTP/1.1 404 ")
        node.call(stop)
        for sock in socks:
            sock.sendall(NONE)
        wait_for("all stand in line", lambda: len(line._few) == len(socks))
        node.call(line._next_step)
        for sock in socks:
            assert sock.recv(65_536).startswith(b"HTTP/1.1 404 ")
            sock.close()
