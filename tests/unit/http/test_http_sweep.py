"""The look at all connections, once a second."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest

from quorate.doors import sweeping
from quorate.doors.sweeping import Swept
from quorate.http import server
from quorate.resp import server as resp_server
from tests.support import resp_node
from tests.support.http_node import running
from tests.support.waiting import wait_for
from tests.unit.http.test_http_server import read_all


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many connections are looked at in a turn of the loop."""
    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    monkeypatch.setattr(resp_server, "SWEEP_S", 0.02)
    monkeypatch.setattr(sweeping, "SWEPT_AT_ONCE", 2)
    at_once, sweep_some = [], sweeping.sweep_some

    def noted(connections: Sequence[Swept]) -> None:
        at_once.append(len(connections))
        sweep_some(connections)

    monkeypatch.setattr(sweeping, "sweep_some", noted)
    return at_once


def test_many_connections_are_swept_a_few_at_once(swept: list[int]) -> None:
    """Fifteen hundred took the loop 5 ms, in which votes waited."""
    with running() as node, contextlib.ExitStack() as sockets:
        silent = [sockets.enter_context(node.dial()) for _ in range(7)]
        wait_for("all are connected", lambda: node.server.connections == 7)
        node.limit(body_timeout_s=0.1)
        for sock in silent:
            read_all(sock)  # until it is cut
    assert 2 == max(swept)


def test_so_are_connections_of_redis_clients(swept: list[int]) -> None:
    with resp_node.running() as node, contextlib.ExitStack() as clients:
        for _ in range(7):
            clients.enter_context(node.connect()).ask("PING")
        looks = len(swept)
        wait_for("all are looked at", lambda: len(swept) > looks + 8)
    assert 2 == max(swept)
