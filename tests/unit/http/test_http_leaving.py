"""Reads that wait: they take no thread, and they end with their client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from quorate.doors.limits import Limits
from tests.support.http_node import MOOD, Node, running
from tests.support.waiting import wait_for

WAITING = [
    "/polls/mood/results?min_version=999999999999&wait=30s",
    "/polls/mood?min_version=999999999999&wait=30s",
    "/polls?min_version=999999999999&wait=30s&level=none",
    "//polls/mood?min_version=999999999999&wait=30s",
    "/digest?version=999999999999&wait=30s",
]


@pytest.fixture
def node() -> Iterator[Node]:
    with running(limits=Limits(threads=1, waiting=1)) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def ask(node: Node, sockets: ExitStack, path: str, method: str = "GET") -> Any:
    sock = sockets.enter_context(node.dial())
    sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def tasks(node: Node) -> int:
    return len(node.server._state.tasks) + len(node.server._small_votes.waiting)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", WAITING)
def test_a_read_whose_client_leaves_is_forgotten_at_once(
    node: Node, path: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It waited for its whole time, and kept its place."""
    with ExitStack() as sockets:
        ask(node, sockets, path, method)
        wait_for("it waits", lambda: waits(node) == 1)
    wait_for("nothing is left of it", lambda: tasks(node) == waits(node) == 0)
    assert [] == [record for record in caplog.records if record.exc_info]
    assert 200 == node.ask("GET", "/livez").status


def waits(node: Node) -> int:
    return len(node.api.reads._waits) + len(node.api.digests._waiting)


@pytest.mark.parametrize("path", WAITING)
def test_reads_that_wait_take_no_thread(node: Node, path: str) -> None:
    """72 of them turned every route of Flask into 503 for half a minute."""
    with ExitStack() as sockets:
        for _ in range(4):
            ask(node, sockets, path)
        wait_for("they wait", lambda: waits(node) == 4)
        assert 0 == node.server._app._in_flask
        assert 200 == node.ask("GET", "/version").status


def test_a_vote_whose_client_leaves_is_counted(node: Node) -> None:
    node.replica.held = held = list[Any]()
    with node.dial() as voting:
        body = b'{"option":"happy","id":"a"}'
        voting.sendall(b"POST /votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        wait_for("it is proposed", lambda: len(held) == 1)
    wait_for("its client has left", lambda: node.server.connections == 0)
    assert 1 == tasks(node)
    node.call(lambda: node.replica.commit(*held.pop()))
    wait_for("its task ends", lambda: not tasks(node))
    assert {"happy": 1, "sad": 0} == node.tally()


def test_a_list_is_rendered_on_a_thread_and_refused_when_none_is_free(node: Node) -> None:
    assert ["mood"] == [poll["id"] for poll in node.ask("GET", "/polls").json["polls"]]
    assert (400, "invalid") == ((answer := node.ask("GET", "/polls?cursor=1.nobody")).status, answer.json["type"])

    async def fill() -> None:
        node.server._app._in_flask += 2
        await asyncio.sleep(0)

    node.run(fill())
    assert (503, "not-ready") == ((answer := node.ask("GET", "/polls")).status, answer.json["type"])
    assert 200 == node.ask("GET", "/polls/mood").status, "nothing of it needs a thread"
    node.server._app._in_flask -= 2
