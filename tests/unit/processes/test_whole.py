"""When a cluster is whole again after a fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from quorate.processes.cluster import NodeCluster
from quorate.processes.node import NodeProcess

MEMBERS = [{"reachable": True, "log_index": 7, "lag": 0}, {"reachable": True, "log_index": 7, "lag": 0}]
WHOLE = {"nodes": MEMBERS, "leader": "n1"}
LEADERLESS = {"nodes": MEMBERS, "leader": None}
OTHER_LEADER = {"nodes": MEMBERS, "leader": "n2"}
CUT = {"nodes": [{**MEMBERS[0], "reachable": False}, MEMBERS[1]], "leader": "n1"}
BEHIND = {"nodes": [{"reachable": True, "log_index": 7, "lag": 3}, MEMBERS[1]], "leader": "n1"}


class AnsweringNode:
    """Answers what it is given, one answer a question, and counts the questions."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self._answers: Iterator[dict[str, Any] | None] = iter(answers)
        self.asked = 0

    def get(self, path: str) -> dict[str, Any] | None:
        assert "/nodes" == path
        self.asked += 1
        return next(self._answers)

    def tail(self) -> str:
        return ""


def cluster_of(*nodes: AnsweringNode) -> NodeCluster:
    return NodeCluster(cast(Sequence[NodeProcess], nodes))


@pytest.mark.parametrize("before", [None, LEADERLESS, OTHER_LEADER, CUT, BEHIND])
def test_a_cluster_is_waited_for_until_no_node_says_what_a_fault_left(before: dict[str, Any] | None) -> None:
    first, second = AnsweringNode(WHOLE, WHOLE), AnsweringNode(before, WHOLE)
    cluster_of(first, second).wait_whole()
    assert 2 == second.asked


def test_a_lag_that_is_allowed_is_not_waited_for() -> None:
    node = AnsweringNode(BEHIND)
    cluster_of(node, AnsweringNode(WHOLE)).wait_whole(lag_max=3)
    assert 1 == node.asked
