"""What the tests of clients are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

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
