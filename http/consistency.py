"""How new a read must be: the query parameters `level`, `min_version` and `wait`, and the deadline of the read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from quorate.errors import Invalid, Stale
from quorate.http.api import Api
from quorate.http.operation import Parameter
from quorate.http.request import once, read_duration, read_version
from quorate.security.caller import Caller
from quorate.words import LEVELS, Level

MAJORITY_S = 1.0  # how long a linearizable read may wait for a majority, in addition to its `wait`

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Consistency:
    """How new a read must be, and how long it may wait for `min_version`."""

    level: Level = "weak"
    min_version: int = 0
    wait_s: float = 2.0


DEFAULT = Consistency()
CONSISTENCY = frozenset({"level", "min_version", "wait"})

PARAMETERS: Sequence[Parameter] = [  # the same three, for OpenAPI
    {"name": "level", "in": "query", "schema": {"enum": list(LEVELS), "default": "weak"}},
    {
        "name": "min_version",
        "in": "query",
        "schema": {"type": "integer", "minimum": 0},
        "description": "at least as new",
    },
    {"name": "wait", "in": "query", "schema": {"type": "string", "default": "2s"}, "description": "for min_version"},
]


def read_consistency(parameters: dict[str, list[str]], wait_max_s: float) -> Consistency:
    if not parameters:
        return DEFAULT
    level = once(parameters, "level", "weak")
    if level not in LEVELS:
        raise Invalid(f"level is {level!r}; give none, weak or linearizable")
    return Consistency(
        level,
        read_version(once(parameters, "min_version", "0"), "min_version"),
        read_duration(once(parameters, "wait", "2s"), "wait", wait_max_s),
    )


async def within(api: Api, caller: Caller, consistency: Consistency, read: Coroutine[Any, Any, T]) -> T:
    """The result of the read. Raises `Stale` if a linearizable read hears from no majority in time, and `Overloaded` if
    the caller has too many reads that wait."""
    if consistency.min_version > api.replica.state.version:
        places = api.places.waits  # such a read asks the leader now and then
    elif consistency.level == "none" or api.replica.is_leader:
        return await _within(consistency, read)
    else:
        places = api.places.at_leader
    with contextlib.closing(read):
        async with places.waiting(caller):
            return await _within(consistency, read)


async def _within(consistency: Consistency, read: Coroutine[Any, Any, T]) -> T:
    if consistency.level != "linearizable":
        return await read
    try:
        async with asyncio.timeout(consistency.wait_s + MAJORITY_S):
            return await read
    except TimeoutError:
        raise Stale("a majority did not confirm the leader in time; level=none answers from this node alone") from None
