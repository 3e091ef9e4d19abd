"""The doors before the servers: nodes know a server by the port of its door alone.

A door is a relay with toxics, as the links between nodes are, and behind it stands one that knows the server's protocol
and can lie. A door that is shut refuses connections, as the machine of a server that is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from quorate.chaos.proxies.relayed import RelayedConnection
from quorate.chaos.proxies.weather import Weather
from quorate.chaos.services.lying import HOST, Liar
from quorate.chaos.toxics import Toxics
from quorate.processes.ports import free_ports

CALL_S = 10.0
NODES = "nodes"
T = TypeVar("T")


class ServiceDoor:
    """Of one server. Used on the loop, but for `port`."""

    def __init__(self, name: str, liar: Liar, rng: random.Random, host: str) -> None:
        self.name, self.liar, self._rng = name, liar, rng
        self._host = host
        (self.port,) = free_ports(1)
        self.ways = ((NODES, name), (name, NODES))
        self.weather = Weather()
        self._inner: asyncio.Server | None = None
        self._outer: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        if self._inner is None:
            self._inner = await self.liar.start()
        if self._outer is None:
            self._outer = await asyncio.start_server(self._relay, self._host, self.port)

    async def shut(self) -> None:
        """Refuse connections, and end those that there are."""
        if self._outer is not None:
            self._outer.close()
            self._outer = None
        for relay in list(self._relays):
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
                for way in self.ways:
                    await self.weather.passable(way)
                there = await asyncio.open_connection(HOST, self.liar.port)
                await RelayedConnection(self.ways[0], self.weather, self._rng, (reader, writer), there).run()
        finally:
            self._relays.discard(task)


class ServiceDoors:
    """All doors, on one loop in a thread of its own. Any thread may call it."""

    def __init__(self, seed: int, host: str = HOST) -> None:
        """`host`: the address of this machine at which the nodes find the doors."""
        self._seed, self._host = seed, host
        self._doors: dict[str, ServiceDoor] = {}
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None  # until there is a door
        self._thread: threading.Thread | None = None

    def add(self, name: str, liar: Callable[[random.Random], Liar]) -> int:
        """A door before a server. Returns its port."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="services", daemon=True)
            self._thread.start()
        rng = random.Random(f"{self._seed}.{name}")
        door = ServiceDoor(name, liar(rng), rng, self._host)
        self._do(door.open())
        self._doors[name] = door
        return door.port

    def disturb(self, name: str, toxics: Toxics) -> Callable[[], None]:
        """What is returned takes it away again. It may be called twice, as those of the others."""
        door, number = self._doors[name], next(self._numbers)
        self._call(lambda: door.weather.set_layer(number, dict.fromkeys(door.ways, toxics)))
        return lambda: self._call(lambda: door.weather.set_layer(number, None))

    def shut(self, name: str) -> Callable[[], None]:
        door = self._doors[name]
        self._do(door.shut())
        return lambda: self._do(door.open())

    def lie(self, name: str, lie: str) -> Callable[[], None]:
        """One lie at a time: the last one that was told to hold."""
        liar = self._doors[name].liar
        assert lie in liar.lies
        self._call(partial(setattr, liar, "lie", lie))
        return lambda: self._call(lambda: setattr(liar, "lie", "" if liar.lie == lie else liar.lie))

    def heal(self) -> None:
        for door in self._doors.values():
            self._do(door.open())
            self._call(door.weather.clear)
            self._call(partial(setattr, door.liar, "lie", ""))

    def close(self) -> None:
        """Idempotent."""
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            self._do(self._end())
            loop.call_soon_threadsafe(loop.stop)
            thread.join(CALL_S)
            loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, step: Callable[[], object]) -> None:
        async def run() -> None:
            step()

        self._do(run())

    def _do(self, step: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(CALL_S)
