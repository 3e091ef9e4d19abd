"""How new a read must be: the query parameters `level`, `min_version` and `wait`, and the deadline of the read."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from quorate.doors import reading
from quorate.doors.reading import Consistency
from quorate.errors import Invalid
from quorate.http.api import Api
from quorate.http.operation import Parameter
from quorate.http.request import once, read_duration, read_version
from quorate.security.caller import Caller
from quorate.words import LEVELS

T = TypeVar("T")


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
    """The result of the read: see `reading.py`."""
    return await reading.within(api.replica, api.places, caller, consistency, read)
