"""Wait until something is so, or until a deadline says that it never will be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
DEADLINE_S = 60.0  # far more than anything takes; a busy machine can be 20 times as slow as an idle one


class NeverHappened(Exception):
    """A condition did not hold by its deadline. The text says which condition, and what was seen instead."""


def wait_for(
    what: str,
    condition: Callable[[], T | None],
    *,
    deadline_s: float = DEADLINE_S,
    every_s: float = 0.02,
    seen: Callable[[], str] | None = None,
) -> T:
    """Return the first true value of `condition`. `seen` describes what there is instead when the deadline passes."""
    end_s = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end_s:
            raise NeverHappened(f"not within {deadline_s:g} s: {what}" + (f"\n{seen()}" if seen else ""))
        time.sleep(every_s)


async def until(
    what: str,
    condition: Callable[[], T | None],
    *,
    deadline_s: float = DEADLINE_S,
    every_s: float = 0.02,
    seen: Callable[[], object] | None = None,
) -> T:
    """As `wait_for`, on a loop."""
    end_s = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end_s:
            raise NeverHappened(f"not within {deadline_s:g} s: {what}" + (f"\n{seen()}" if seen else ""))
        await asyncio.sleep(every_s)
    return value
