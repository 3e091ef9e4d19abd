"""Looks at all connections of a door, some in each turn of the loop: ten thousand at once would take some 20 ms."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

SWEPT_AT_ONCE = 200


class Swept(Protocol):
    """A connection, as this file sees it."""

    @property
    def is_lost(self) -> bool: ...

    def sweep(self, now_s: float) -> None:
        """Close it if something takes too long."""
        ...


def sweep_all(connections: Sequence[Swept], within_s: float) -> None:
    loop = asyncio.get_running_loop()
    for start in range(0, len(connections), SWEPT_AT_ONCE):
        some = connections[start : start + SWEPT_AT_ONCE]
        loop.call_later(within_s * start / len(connections), sweep_some, some)


def sweep_some(connections: Sequence[Swept]) -> None:
    now_s = asyncio.get_running_loop().time()
    for connection in connections:
        if not connection.is_lost:
            connection.sweep(now_s)
