"""How new a read must be, and within which bounds it waits for that: the same behind each door."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from quorate.cluster.replica import Replica
from quorate.doors.caller_places import CallerPlaces
from quorate.errors import Stale
from quorate.security.caller import Caller
from quorate.words import Level

MAJORITY_S = 1.0  # how long a linearizable read may wait for a majority, in addition to its `wait_s`

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Consistency:
    """How new a read must be, and how long it may wait for `min_version`."""

    level: Level = "weak"
    min_version: int = 0
    wait_s: float = 2.0


class ReadingPlaces(Protocol):
    """Of the reads of a node that may take long."""

    @property
    def at_leader(self) -> CallerPlaces: ...

    @property
    def waits(self) -> CallerPlaces: ...


async def within(
    replica: Replica, places: ReadingPlaces, caller: Caller, consistency: Consistency, read: Coroutine[Any, Any, T]
) -> T:
    """The result of the read. Raises `Stale` if a linearizable read hears from no majority in time, and `Overloaded` if
    the caller has too many reads that wait."""
    if consistency.min_version > replica.state.version:
        taken = places.waits  # such a read asks the leader now and then
    elif consistency.level == "none" or replica.is_leader:
        return await _within(consistency, read)
    else:
        taken = places.at_leader
    with contextlib.closing(read):
        async with taken.waiting(caller):
            return await _within(consistency, read)


async def _within(consistency: Consistency, read: Coroutine[Any, Any, T]) -> T:
    if consistency.level != "linearizable":
        return await read
    try:
        async with asyncio.timeout(consistency.wait_s + MAJORITY_S):
            return await read
    except TimeoutError:
        raise Stale("a majority did not confirm the leader in time; level=none answers from this node alone") from None
