"""Which toxics hold now in which direction, for the relays on the loop. Whoever waits is told of each change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from quorate.chaos.toxics import SOUND, Toxics, Way, together


class Weather:
    """Several disturbances may hold at once, each with a number. Everything here is called on the loop."""

    def __init__(self) -> None:
        self._layers: dict[int, Mapping[Way, Toxics]] = {}
        self._now: dict[Way, Toxics] = {}
        self._change = asyncio.Event()

    def toxics(self, way: Way) -> Toxics:
        return self._now.get(way, SOUND)

    def set_layer(self, number: int, layer: Mapping[Way, Toxics] | None) -> None:
        """None takes it away."""
        if layer is None:
            self._layers.pop(number, None)
        else:
            self._layers[number] = layer
        ways = {way for each in self._layers.values() for way in each}
        self._now = {way: together(each[way] for each in self._layers.values() if way in each) for way in ways}
        self._tell()

    def clear(self) -> None:
        self._layers.clear()
        self._now = {}
        self._tell()

    async def changed(self, within_s: float | None = None) -> bool:
        """Wait for the next change; False if there was none in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._change.wait()
                return True
        return False

    async def passable(self, way: Way) -> None:
        """Wait until bytes get through in this direction."""
        while (wait_s := self._silent_s(self.toxics(way))) != 0:
            await self.changed(wait_s)

    def _silent_s(self, toxics: Toxics) -> float | None:
        """How long nothing gets through from now on. None: until something changes."""
        if toxics.down or toxics.timeout_s is not None:
            return None
        if not toxics.flaps_s:
            return 0.0
        into_s = asyncio.get_running_loop().time() % (2 * toxics.flaps_s)
        return max(0.0, toxics.flaps_s - into_s)

    def _tell(self) -> None:
        self._change.set()
        self._change = asyncio.Event()
