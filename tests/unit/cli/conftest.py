"""A node for the commands to ask: one HTTP server over the real state machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quorate.doors.limits import Limits
from tests.support import http_node
from tests.support.http_node import Node


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUORATE_NODES", "QUORATE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    with http_node.running(limits=Limits(timeout_s=0.3)) as started:
        monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{started.port}")
        assert 201 == started.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        yield started
