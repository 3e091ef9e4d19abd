"""What the tests of clients are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from quorate.client import asker
from tests.support.scripted_node import Answer, ScriptedNode


@pytest.fixture
def node() -> Iterator[Callable[..., ScriptedNode]]:
    nodes: list[ScriptedNode] = []

    def start(*answers: Answer) -> ScriptedNode:
        nodes.append(ScriptedNode(list(answers)))
        return nodes[-1]

    yield start
    for each in nodes:
        each.stop()


class Timed:
    """Time passes only where the client waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Timed:
    timed = Timed()
    monkeypatch.setattr(asker, "time", timed)
    return timed
