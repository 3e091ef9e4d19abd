"""A node for the commands to ask: one HTTP server over the real state machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quorate.client import attempts
from quorate.doors.limits import Limits
from tests.support import http_node
from tests.support.http_node import Node


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUORATE_NODES", "QUORATE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _asks_each_node_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next pause would be longer than any timeout. How clients try again is tested where they are.

    So what a node says is the end, and a timeout may be long enough for a machine that stands still for seconds.
    """
    for name in ("BACKOFF_S", "BACKOFF_MAX_S"):
        monkeypatch.setattr(attempts, name, 3600.0)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    with http_node.running(limits=Limits(timeout_s=0.3)) as started:
        monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{started.port}")
        assert 201 == started.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        yield started
