"""A client's way into a system over one kept connection at a time, to a node that the client chooses."""

from __future__ import annotations

import random
from collections.abc import Sequence

from quorate.chaos.workload.exchange import AskedNode, KeptConnection


class KeptDoor:
    """The part of `VoteDoor` that is about nodes. `home` is the number of the first one."""

    def __init__(self, nodes: Sequence[AskedNode], home: int, chance: random.Random) -> None:
        self._nodes, self._chance = nodes, chance
        self._connection = KeptConnection(nodes[home % len(nodes)])

    @property
    def node(self) -> str:
        return self._connection.node.id

    def move(self) -> None:
        self._connection.close()
        self._connection = KeptConnection(self._chance.choice(self._nodes))

    async def close(self) -> None:
        self._connection.close()
