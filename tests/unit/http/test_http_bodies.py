"""What clients send of bodies without ends: it keeps nobody else's body out."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from quorate.http import body
from tests.support.http_node import Node, running
from tests.support.tokens import access_by, bearer, write_tokens
from tests.support.waiting import wait_for

POLL = {"id": "mood", "title": "mood", "options": ["happy", "sad"], "state": "open"}
ROOM = 1024 * 1024
VOTES = [{"option": "happy", "id": f"v{number}"} for number in range(8_000)]  # some 250 KB


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(body.Bodies.__init__, "__defaults__", (ROOM,))
    path = write_tokens(tmp_path / "tokens.toml", {"ann": "vote", "bob": "vote", "boss": "operate"})
    with running(access=partial(access_by, path)) as node:
        assert 201 == node.ask("POST", "/polls", POLL, bearer("boss")).status
        yield node


def begin(node: Node, token: str, size: int) -> socket.socket:
    """A request whose last byte does not come."""
    head = "POST /votes HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
    head += f"Bearer {token}\r\nContent-Length: {size + 1}\r\n\r\n"
    connection = node.dial()
    connection.sendall(head.encode() + b" " * size)
    return connection


def held(node: Node) -> int:
    return node.server._app._bodies._held


def test_bodies_without_ends_keep_no_other_callers_out(node: Node) -> None:
    with contextlib.ExitStack() as stack:
        endless = [stack.enter_context(begin(node, "ann", ROOM // 4 - 10)) for _ in range(4)]
        wait_for("the room is used up", lambda: held(node) > ROOM - 100)
        answer = node.ask("POST", "/votes", VOTES, {**bearer("bob"), "Content-Type": "application/json"})
        assert (200, len(VOTES)) == (answer.status, answer.json["applied"])
        told = [each for each in endless if _was_told(each)]
        assert 1 <= len(told) < 4, "no more are cut off than there has to be room"
    wait_for("nothing is held", lambda: held(node) == 0)


def _was_told(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        return connection.recv(65_536).startswith(b"HTTP/1.1 429 ")
    return False


def test_whoever_holds_most_is_refused_and_cuts_off_nobody(node: Node) -> None:
    with contextlib.ExitStack() as stack:
        little = stack.enter_context(begin(node, "bob", ROOM // 8))
        endless = [stack.enter_context(begin(node, "ann", ROOM // 4 - 10)) for _ in range(3)]
        wait_for("most of the room is used up", lambda: held(node) > ROOM * 7 / 8 - 100)
        answer = node.ask("POST", "/votes", VOTES, {**bearer("ann"), "Content-Type": "application/json"})
        assert (429, True) == (answer.status, "too many big requests" in answer.json["detail"])
        assert not _was_told(little)
        assert not any(map(_was_told, endless))


def test_the_first_piece_of_each_body_counts(node: Node) -> None:
    """Whatever arrives with the headers is held, too: it was not counted against the room."""
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(begin(node, "ann", 60_000))
            assert held(node) <= ROOM
        wait_for("some were refused", lambda: held(node) > ROOM - 70_000)
        assert held(node) <= ROOM


def test_what_is_cut_off_is_given_back_once(node: Node) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(begin(node, "ann", ROOM // 4 - 10))
            stack.enter_context(begin(node, "bob", ROOM // 4 - 10))
        wait_for("much came", lambda: held(node) > ROOM // 2)
        assert held(node) <= ROOM
    wait_for("nothing is held", lambda: held(node) == 0)
    wait_for("nothing comes", lambda: not node.server._app._bodies._coming)
    assert not node.server._app._bodies._held_by
    assert 1 == node.ask("POST", "/votes", json.dumps({"option": "sad"}).encode(), bearer("bob")).json["applied"]


def test_long_bodies_are_read_in_one_line(node: Node) -> None:
    """A hundred of two megabytes at once had the loop read them as fast as they came: votes waited all the while."""
    line = node.server._app._bodies._line

    def stop() -> None:
        line.charge(60.0)  # this step has had its time
        assert line._step is not None
        line._step.cancel()  # and the next one does not come

    node.call(stop)
    with begin(node, "ann", ROOM // 2):
        wait_for("it stands in line", lambda: len(line._few) == 1)
        assert held(node) < ROOM // 2


def test_a_connection_that_is_lost_holds_nothing_of_its_body(node: Node) -> None:
    """Its objects are left to the collector of garbage, which comes seldom."""
    with begin(node, "ann", 40_000):
        wait_for("it is there", lambda: held(node) == 40_000)
        (connection,) = node.server._open()
        node.call(setattr, connection.cycle, "body", bytearray(b"what its request did not take yet"))
    wait_for("it is lost", lambda: connection.is_lost)
    assert b"" == connection.cycle.body
