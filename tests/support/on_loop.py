"""Tests that are coroutines: each runs on an event loop of its own, for at most a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

DEADLINE_S = 60  # some tests kill and restart processes; one that waits for a condition gives up after 20 s by itself


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), DEADLINE_S))

    return run
