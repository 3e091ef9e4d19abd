"""Tests that are coroutines: each runs on an event loop of its own, for at most 100 s.

`in_virtual_time` is for those that need no socket and no thread. Their waits take no time, and no pause of a busy
machine makes one of their deadlines pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from tests.simulation.loop import VirtualLoop

DEADLINE_S = 100  # one that waits for a condition gives up by itself, before this and before pytest


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), DEADLINE_S))

    return run


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(asyncio.wait_for(test(*args, **kwargs), DEADLINE_S))

    return run
