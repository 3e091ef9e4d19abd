"""RESP over TLS: who speaks it is served as without, and who speaks RESP without it is told so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from quorate.security.tls import server_tls
from tests.support.certificates import Authority
from tests.support.resp_client import Client, Error, command, xadd
from tests.support.resp_node import RespNode, running


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
