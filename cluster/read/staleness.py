"""How old this node's state can be: a bound that holds whatever the network, the leader or a clock does.

Twice a second this node asks the leader for a version, as a linearizable read does: the leader confirms with a majority
that it still leads, and says which version it has then. All that was committed before the question is in that version.
So as soon as this node has applied it, its state is at most as old as the question. That the leader spoke a moment ago
would bound nothing: it may have been replaced without knowing, and what it sent may not be applied here.

The question is a read with a `min_version` that never comes, so the answer is always `Stale` and names the version.
Nodes of 0.1.0 answer it too. The leader asks itself in the same way.

Time is measured by this node alone, by a clock that nobody sets and that also counts the time of a suspended machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable

from quorate.cluster.replica import Replica
from quorate.errors import QuorateError, Stale
from quorate.words import AGE_UNKNOWN_MS

ASK_EVERY_S = 0.5
FIRST_ASK_EVERY_S = 0.05  # until the first bound is known: a node that starts wants to answer soon
ASK_S = 1.0  # how long one question may take
ANSWERS_MAX = 100  # answers whose version is not applied here yet

# Linux stops CLOCK_MONOTONIC while the machine sleeps, and goes on with CLOCK_BOOTTIME.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed_s() -> float:
    return time.clock_gettime(_CLOCK)


class Staleness:
    """Runs on the node's loop. `ask` gives the leader's version, or raises a `QuorateError`, within the given time."""

    def __init__(
        self, replica: Replica, ask: Callable[[float], Awaitable[tuple[int, float]]], clock: Callable[[], float]
    ) -> None:
        self._replica = replica
        self._ask = ask
        self._clock = clock
        self._answers: deque[tuple[int, float]] = deque()  # (version, when it was asked for), not applied here yet
        self._current_at_s: float | None = None  # all that was committed at this moment is applied here
        self._has_led = False
        self._asking: asyncio.Task[None] | None = None

    @property
    def age_ms(self) -> int:
        """The state is not older than this. `AGE_UNKNOWN_MS` while no bound is known."""
        self._apply_answers()
        return AGE_UNKNOWN_MS if self._current_at_s is None else self.ms_since(self._current_at_s)

    @property
    def is_known(self) -> bool:
        """Whether this node has once had all that was committed. Before, a poll that it lacks may well exist."""
        self._has_led = self._has_led or self._replica.is_leader
        self._apply_answers()
        return self._has_led or self._current_at_s is not None

    def ms_since(self, moment_s: float) -> int:
        return math.ceil((self._clock() - moment_s) * 1000)

    async def ask_once(self) -> None:
        """Ask the leader for its version. Raises a `QuorateError` or `TimeoutError` if there is no answer."""
        async with asyncio.timeout(2 * ASK_S):
            version, asked_at_s = await self._ask(ASK_S)
        self._apply_answers()
        if len(self._answers) < ANSWERS_MAX:
            self._answers.append((version, asked_at_s))

    def start(self) -> None:
        self._asking = asyncio.ensure_future(self._ask_for_ever())

    async def stop(self) -> None:
        """Idempotent."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
            self._asking = None

    async def _ask_for_ever(self) -> None:
        while True:
            with contextlib.suppress(QuorateError, TimeoutError):  # without a leader the bound grows, which is true
                await self.ask_once()
            self._apply_answers()
            await asyncio.sleep(self._pause_s)

    @property
    def _pause_s(self) -> float:
        """Nothing is gained by asking often while an answer waits until this node applies its version."""
        return FIRST_ASK_EVERY_S if self._current_at_s is None and not self._answers else ASK_EVERY_S

    def _apply_answers(self) -> None:
        version = self._replica.state.version
        while self._answers and self._answers[0][0] <= version:
            self._current_at_s = self._answers.popleft()[1]


def version_in(error: Stale) -> int:
    """The version that a leader names when it refuses the question. Raises the error again if it names none."""
    version = error.fields.get("version")
    if not isinstance(version, int):
        raise error
    return version
