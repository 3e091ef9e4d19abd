"""The parts of a node: started in the order of the list, stopped in the reverse order.

If a part fails to start, the error is raised and no further part is started. `stop` stops every part, also those that
were not started, because making a part may have opened a file or a connection. Each stop has a deadline. A part that
does not stop is logged, and the remaining parts are stopped all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

STOP_S = 30.0  # for a part that states no deadline of its own

log = logging.getLogger(__name__)


async def nothing() -> None:
    """For a part that has nothing to do when it starts, or when it stops."""


@dataclass(frozen=True, slots=True)
class Part:
    """`stop` must be idempotent, and must work for a part that was never started."""

    name: str
    start: Callable[[], Awaitable[object] | None] = nothing
    stop: Callable[[], Awaitable[object] | None] = nothing
    stop_s: float = STOP_S


class Parts:
    """Used on the node's loop."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = list(parts)

    async def start(self) -> None:
        """Raises what a part raises; call `stop` then too."""
        for part in self._parts:
            await _finished(part.start())

    async def stop(self) -> None:
        for part in reversed(self._parts):
            try:
                async with asyncio.timeout(part.stop_s):
                    await _finished(part.stop())
            except TimeoutError:
                log.error("%s did not stop within %g s; going on", part.name, part.stop_s)
            except Exception:
                log.exception("%s did not stop as it should; going on", part.name)


async def _finished(step: Awaitable[object] | None) -> None:
    if step is not None:
        await step
