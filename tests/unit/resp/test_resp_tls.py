"""RESP over TLS: who speaks it is served as without, and who speaks RESP without it is told so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from quorate.security.tls import server_tls
from tests.support.certificates import Authority
from tests.support.resp_client import Client, Error, command, xadd
from tests.support.resp_node import RespNode, running
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RespNode]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with running(tls=partial(server_tls, *authority.issue()), trusts=authority.client_context()) as node:
        node.create()
        yield node


def test_commands_are_answered_as_without(node: RespNode) -> None:
    with node.connect() as client:
        client.send(b"".join(xadd(number) for number in range(3_000)) + command("HGETALL", "poll:mood"))
        *votes, tally = client.replies(3_001)
    assert {str} == {type(vote) for vote in votes}
    assert ["happy", "3000", "sad", "0"] == tally


def test_a_client_without_tls_is_told_so(node: RespNode) -> None:
    """It was closed without a word, and only a browser was told."""
    with Client(node.port) as client:
        client.send(command("PING"))
        told = client.reply()
        assert isinstance(told, Error)
        assert "speaks TLS alone" in told.text
        assert client.is_closed()


@pytest.mark.parametrize("first", [b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", b"PING\r\n", b"\x00" * 20])
def test_nobody_else_is_answered(node: RespNode, first: bytes) -> None:
    with Client(node.port) as client:
        client.send(first + xadd("plain"))
        assert b"" == client.rest()
    assert 0 == node.tally()["sad"]


def test_what_a_client_leaves_unread_is_counted(node: RespNode) -> None:
    """What was sealed and not sent was in no count: a hundred clients had each node hold 600 MB."""
    node.create("big", [f"option {number:05}" for number in range(20_000)])
    with node.connect_lazy() as client:
        client.send(command("HGETALL", "poll:big"))
        wait_for("the reply is held", lambda: sum(each.unsent for each in node.connections()) > 500_000)
        node.http.call(node.door.unsent.sweep, 0.0)
        assert node.door.unsent.held > 500_000
        assert 40_000 == len(client.reply())
        wait_for("all is sent", lambda: not sum(each.unsent for each in node.connections()))
