"""What clients ask for faster than they are answered, of all connections: in one line, and with a share of the time.

A client that sends thousands of requests at once has each begun in the moment in which the one before is answered. Of a
hundred such clients a hundred requests are done in every turn of the loop, and whoever asks for one thing waits for all
of them at each step of the way. So only a few of them begin in a millisecond, in the order in which their turn came.
For one client that is no bound: its next request comes to the line when the one before is answered.

A door whose requests cost very different times charges each of them. When a step has had its time, all others stand in
line. While this node applies votes, a rest follows that is four times as long, so votes and other nodes find a loop
that is free four fifths of the time. Without votes there is no rest, and only the turn of the loop ends.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from quorate.turns import VotesNow

BEGIN = 4  # in each step, of requests that take some 50 µs each
STEP_S = 0.001
WORK_S = 0.001  # in a step, of what is charged
REST = 4.0  # times as long as the work
STEP_MAX_S = 1.0  # work and rest: a machine that stood still for minutes must not rest for minutes


class WaitingLine:
    """Used on the node's loop. `most` begin in a step. `version` is that of the state, where time is charged."""

    def __init__(self, most: int = BEGIN, step_s: float = STEP_S, version: Callable[[], int] | None = None) -> None:
        self._most, self._step_s = most, step_s
        self._votes = None if version is None else VotesNow(version)
        self._few: deque[Callable[[], None]] = deque()
        self._much: deque[Callable[[], None]] = deque()  # of those that had a turn and have more to do
        self._left = most  # in this step
        self._worked_s = self._began_s = 0.0  # of this step
        self._step: asyncio.Handle | None = None

    @property
    def has_time(self) -> bool:
        """Whether something that is charged may begin now."""
        return self._worked_s < WORK_S

    def charge(self, worked_s: float) -> None:
        self._worked_s += worked_s
        if self._step is None:
            self._begin_step()

    def join(self, begin: Callable[[], None], *, has_much: bool = False) -> None:
        """Call `begin` now, or in its turn."""
        if self._step is None:
            self._begin_step()
        if self._left and self.has_time and not (self._few or self._much):
            self._left -= 1
            begin()
        else:
            (self._much if has_much else self._few).append(begin)

    async def turn(self, cost_s: float) -> None:
        """Wait in line, and be charged."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            if not mine.done():
                self.charge(cost_s)
                mine.set_result(None)

        self.join(begin)
        await mine

    def _begin_step(self) -> None:
        loop, self._began_s = asyncio.get_running_loop(), time.perf_counter()
        if self._votes is None or self._votes.come():
            self._step = loop.call_later(self._step_s, self._next_step)
        else:
            self._step = loop.call_soon(self._next_step)

    def _next_step(self) -> None:
        if self._worked_s and self._votes is not None and self._votes.come():
            rest_s = self._began_s + min(self._worked_s * (1 + REST), STEP_MAX_S) - time.perf_counter()
            if rest_s > 0:
                self._step = asyncio.get_running_loop().call_later(rest_s, self._next_step)
                return
        self._step, self._left, self._worked_s = None, self._most, 0.0
        if self._few or self._much:
            self._begin_step()
        while self._left and self.has_time and (self._few or self._much):
            self._left -= 1
            self._next_one()()

    def _next_one(self) -> Callable[[], None]:
        """Those with little to do go first, and as many of the others go between them."""
        if self._much and (not self._few or self._left % 2 == 0):
            return self._much.popleft()
        return self._few.popleft()
