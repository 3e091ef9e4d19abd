"""Whom a fault may hit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.nemesis import NotNow


@dataclass(eq=False)
class Named:
    id: str


@dataclass
class FiveNodes:
    away: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    majority: int = 3
    nodes: list[Named] = field(default_factory=lambda: [Named(f"n{number}") for number in range(1, 6)])

    def up(self) -> list[Named]:
        return [node for node in self.nodes if node.id not in self.away]

    def cut_off(self) -> set[str]:
        return self.cut


@pytest.mark.parametrize(
    ("away", "cut", "spared"),
    [
        (set(), set(), True),
        ({"n2"}, set(), True),
        ({"n2", "n5"}, set(), False),
        ({"n2"}, {"n5"}, False),
        ({"n2"}, {"n1"}, True),
    ],
)
def test_a_node_is_taken_away_only_while_the_others_are_a_majority(away: set[str], cut: set[str], spared: bool) -> None:
    """A fault that waits for what the others do waited for 15 s for nothing, and no vote was counted meanwhile."""
    cluster: Any = FiveNodes(away, cut)
    if spared:
        choice.check_spared(cluster, cluster.nodes[0])
    else:
        with pytest.raises(NotNow, match="cannot do without n1 now"):
            choice.check_spared(cluster, cluster.nodes[0])
