"""How much of the loop one peer may take: so many frames in a turn, and then a rest as long as they took.

Nodes that tell the truth rarely send so many at once, because they wait for answers. One that sends without end has the
loop half of the time at the most. So votes go on, and heartbeats, and no election comes of it. A turn ends early if its
frames take long, as those of a long log do; then there is no rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FRAMES_A_TURN = 200
TURN_S = 0.01
REST_MAX_S = 0.05


class LoopTurns:
    """Of one connection. `go_on` is called after each rest."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        self._go_on = go_on
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._began_s = 0.0
        self._timer: asyncio.Handle | None = None
        self._paused = False

    @property
    def rests(self) -> bool:
        return self._timer is not None

    def begin(self) -> None:
        """Something has come, or the rest is over."""
        self._taken, self._began_s = 0, self._loop.time()

    def another(self) -> bool:
        """Whether another frame may be taken now. If not, a rest has begun, or the others have their turn."""
        loop = self._loop
        self._taken += 1
        if self._taken >= FRAMES_A_TURN:
            # What the frames have others do, calls for example, is done in the next turn of the loop, before this.
            self._timer = loop.call_soon(self._rest)
        elif loop.time() - self._began_s > TURN_S:
            self._timer = loop.call_soon(self._over)
        return not self.rests

    def settle(self, transport: asyncio.ReadTransport) -> None:
        """Read no more while it rests, and go on after that."""
        if self.rests != self._paused:
            transport.pause_reading() if self.rests else transport.resume_reading()
            self._paused = self.rests

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(loop.time() - self._began_s, REST_MAX_S), self._over)

    def _over(self) -> None:
        self._timer = None
        self._go_on()
