"""How long each node is given to answer, and when nobody is asked any more."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.client import calls
from quorate.client.asking import NODE_ANSWERS_S, OF_ITSELF_S, Asking, NodeUrls, RetryTimes
from quorate.client.attempts import NO_NEEDS_S
from quorate.client.error_replies import Unreached
from quorate.errors import NoLeader
from quorate.vote import Vote
from tests.support.timed import Timed

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


@pytest.mark.parametrize(
    ("timeout_s", "took_s", "asks_again"),
    [(1.1, 0.7, False), (1.1, 0.5, True), (NO_NEEDS_S, 0.0, False), (NO_NEEDS_S + 0.11, 0.0, True)],
)
def test_a_no_is_not_turned_into_doubt_by_asking_again_too_late(
    timed: Timed, timeout_s: float, took_s: float, asks_again: bool
) -> None:
    """The attempt that is cut off might have counted. `took_s`: the time until the "no" came."""
    asking = Asking(calls.vote(Vote("happy")), NodeUrls(NODES[:1]), RetryTimes(timeout_s, timeout_s), timed.monotonic)
    asking.begin()
    timed.sleep(took_s)
    try:
        pause_s = asking.failed(NoLeader("no leader is known"))
    except NoLeader:
        assert not asks_again
    else:
        assert (True, True) == (asks_again, pause_s <= 0.1)
