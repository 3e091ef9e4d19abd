"""How long each node is given to answer."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.client import calls
from quorate.client.asking import NODE_ANSWERS_S, OF_ITSELF_S, Asking, NodeUrls, RetryTimes
from quorate.client.error_replies import Unreached

NODES = ("http://a:8001", "http://b:8001", "http://c:8001")


def answers_s(call: calls.Call[Any], attempts: int) -> list[float]:
    """Of so many attempts that fail at once."""
    asking = Asking(call, NodeUrls(NODES), RetryTimes(10.0, 10.0), lambda: 0.0)
    given = []
    for _ in range(attempts):
        given.append(asking.begin().answer_s)
        asking.failed(Unreached("it hangs"))
    return given


@pytest.mark.parametrize("call", [calls.status(), calls.nodes(), calls.leader()])
def test_a_node_that_says_nothing_of_itself_is_soon_passed_over(call: calls.Call[Any]) -> None:
    """A node that was paused cost `quorate status` six seconds, in the very moment when it was to explain itself."""
    assert [OF_ITSELF_S] * 3 + [NODE_ANSWERS_S] == answers_s(call, 4)


def test_what_needs_the_leader_may_take_as_long_as_an_election() -> None:
    assert [NODE_ANSWERS_S] * 4 == answers_s(calls.results("mood", "weak", 0), 4)
