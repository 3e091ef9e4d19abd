"""The flush of a simulated node: the real flusher and the real SQLite sink, whose calls take time and may fail."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from quorate.cluster.flush.deletions import Deletions
from quorate.cluster.flush.flusher import Flusher
from quorate.cluster.flush.imports import Imports
from quorate.cluster.loop_bridge import LOOP_S, LoopBridge
from quorate.cluster.replica import Replica
from quorate.sinks.importable import ManualPoll, Unreadable
from quorate.sinks.sink import Fence, PollDocument, SinkError, WriteOutcome
from quorate.sinks.sqlite import SqliteSink
from tests.simulation.cluster import SinkWeather
from tests.simulation.whole.baton import Baton

T = TypeVar("T")

WRITE_S = (0.001, 0.03)
TURN_S = (0.0, 0.002)  # until the loop gets to what a thread asks for
INTERVAL_S = 0.3
LOOK_S = 0.05  # between two looks whether the flusher is woken


class BatonBridge(LoopBridge):
    def __init__(self, baton: Baton, rng: random.Random) -> None:
        super().__init__()
        self._baton, self._rng = baton, rng

    def call_on_loop(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self.wait(call())

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def answer() -> T:
            async with asyncio.timeout(self.left_s(LOOP_S)):
                await asyncio.sleep(self._rng.uniform(*TURN_S))
                return await coroutine

        try:
            return self._baton.wait(answer())
        finally:
            coroutine.close()


class WeatheredSink(SqliteSink):
    """Each call takes a while before it has its effect, and a while after it. In between the node may die."""

    def __init__(self, path: Path, baton: Baton, rng: random.Random, weather: SinkWeather) -> None:
        super().__init__(path, refresh_s=1.0)
        self._baton, self._rng, self._weather = baton, rng, weather

    def write(
        self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> dict[str, WriteOutcome]:
        self._pass()
        written = super().write(documents, fence, cluster_id, timeout_s=timeout_s)
        self._pass()  # it is written, and nobody may be told
        return written

    def find(self, *, timeout_s: float) -> tuple[list[ManualPoll], list[Unreadable]]:
        self._pass()
        return super().find(timeout_s=timeout_s)

    def touched(self, *, timeout_s: float) -> bool:
        self._pass()
        return super().touched(timeout_s=timeout_s)

    def find_longer(self, sizes: Mapping[str, int], cluster_id: str, *, timeout_s: float) -> Mapping[str, list[str]]:
        self._pass()
        return super().find_longer(sizes, cluster_id, timeout_s=timeout_s)

    def _pass(self) -> None:
        self._baton.pause(self._rng.uniform(*WRITE_S) + self._weather.slow_s)
        if self._weather.is_down:
            raise SinkError("the sink is down")


class SimFlusher(Flusher):
    """Its thread is one that takes turns with the loop."""

    def __init__(self, replica: Replica, path: Path, rng: random.Random, weather: SinkWeather) -> None:
        baton = Baton()
        sink = WeatheredSink(path, baton, rng, weather)
        deletions = Deletions(replica, [sink.name])
        super().__init__(replica, sink, Imports(replica, [sink.name]), deletions, interval_s=INTERVAL_S)
        self._baton, self._bridge = baton, BatonBridge(baton, rng)
        self._driver: asyncio.Task[None] | None = None
        self._own_sink = sink
        self._all_deletions = deletions

    def start(self) -> None:
        self._all_deletions.start()
        self._replica.on_applied(self._on_applied)
        self._replica.on_leadership(lambda leads: self._check_leadership())
        self._check_leadership()
        self._driver = asyncio.get_running_loop().create_task(self._drive())

    async def _drive(self) -> None:
        try:
            while True:
                began_s, leadership = time.monotonic(), self._leadership
                pause_s = None if leadership is None else await self._baton.run(partial(self._flush, leadership))
                while not self._wake.is_set() and (pause_s is None or time.monotonic() < began_s + pause_s):
                    await asyncio.sleep(LOOK_S)
                self._wake.clear()
        finally:
            self._own_sink.close()

    def die(self) -> None:
        if self._driver is not None:
            self._driver.cancel()
