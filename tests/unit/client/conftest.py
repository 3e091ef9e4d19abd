"""What the tests of clients are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from quorate.client import asker
from tests.support.scripted_node import Answer, ScriptedNode
from tests.support.timed import Timed


@pytest.fixture
def node() -> Iterator[Callable[..., ScriptedNode]]:
    nodes: list[ScriptedNode] = []

    def start(*answers: Answer) -> ScriptedNode:
        nodes.append(ScriptedNode(list(answers)))
        return nodes[-1]

    yield start
    for each in nodes:
        each.stop()


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Timed:
    timed = Timed()
    monkeypatch.setattr(asker, "time", timed)
    return timed
