"""The look at all connections, once a second."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest

from quorate.doors.limits import Limits
from quorate.http import server
from quorate.http.connection import HttpConnection
from tests.support.http_node import running
from tests.unit.http.test_http_server import read_all


def test_many_connections_are_swept_a_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifteen hundred took the loop 5 ms, in which votes waited."""
    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    monkeypatch.setattr(server, "SWEPT_AT_ONCE", 2)
    at_once, sweep_some = [], server.HttpServer._sweep_some

    def noted(self: server.HttpServer, connections: Sequence[HttpConnection]) -> None:
        at_once.append(len(connections))
        sweep_some(self, connections)

    monkeypatch.setattr(server.HttpServer, "_sweep_some", noted)
    with running(limits=Limits(head_timeout_s=0.1, body_timeout_s=0.1)) as node, contextlib.ExitStack() as sockets:
        for sock in [sockets.enter_context(node.dial()) for _ in range(7)]:
            read_all(sock)  # until it is cut
    assert 2 == max(at_once)
