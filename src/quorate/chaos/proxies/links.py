"""The links between all nodes: a relay before each node, on one thread with a loop of its own.

Each node is known to the others by the port of its relay, its shared door. There the relay reads in the first frame,
which is not sealed, which node dials. So it knows both ends of each connection, and treats each direction for itself.
With TLS between nodes nobody can read that frame. For that there is a door for each ordered pair of nodes (`door`), and
the dialler must use it: `chaos/victim` does. Whoever does not say who it is finds its connection closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from quorate.chaos.link_faults import LinkFaults
from quorate.chaos.proxies.relayed import Ends, RelayedConnection
from quorate.chaos.proxies.weather import Weather
from quorate.chaos.toxics import Toxics, Way
from quorate.processes.ports import free_ports

LENGTH_BYTES = 4  # of the number before each frame
HELLO_BYTES_MAX = 4096
HELLO_S = 10.0
CALL_S = 10.0
HOST = "127.0.0.1"
ALL_TOXICS = 1  # one layer holds them all
NO_HELLO = (OSError, EOFError, TimeoutError, ValueError, msgspec.DecodeError, LookupError, TypeError)


# Reads from a new connection to a shared door who dials, and what was read on the way, which is passed on.
ReadDialler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[tuple[str, bytes]]]


async def read_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bytes]:
    """The first frame of our own nodes."""
    length = await reader.readexactly(LENGTH_BYTES)
    size = int.from_bytes(length, "big")
    if size > HELLO_BYTES_MAX:
        raise ValueError("no hello of a node")
    hello = await reader.readexactly(size)
    return str(msgspec.msgpack.decode(hello)[1]), length + hello


class Links(LinkFaults):
    """`targets` are the ports on which the nodes listen, `ports` those of their relays. Any thread may call it.

    The nodes of another system say in other words who they are: `read_dialler` reads them. A dialler that is no node is
    never cut off.
    """

    def __init__(self, targets: Mapping[str, int], *, seed: int = 0, read_dialler: ReadDialler = read_hello) -> None:
        super().__init__()
        self.ports = dict(zip(targets, free_ports(len(targets)), strict=True))
        self._targets = dict(targets)
        self._read_dialler = read_dialler
        self._doors: dict[Way, int] = {}
        self._rng = random.Random(f"{seed}.links")
        self._weather = Weather()
        self._servers: dict[int, asyncio.Server] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._closed = False

    def start(self) -> None:
        self._thread.start()
        for node, port in self.ports.items():
            self._do(self._listen(port, None, node))

    def close(self) -> None:
        """Idempotent. All connections end."""
        if not self._closed and self._thread.ident is not None:
            self._do(self._close())
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_S)
        if not self._loop.is_running():
            self._loop.close()

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def add(self, node: str, port: int) -> int:
        """A new node that listens on this port. Returns the port of its relay."""
        (self.ports[node],) = free_ports(1)
        self._targets[node] = port
        if self._thread.ident is not None:  # otherwise `start` does it
            self._do(self._listen(self.ports[node], None, node))
        return self.ports[node]

    def drop(self, node: str) -> None:
        """The node is gone: its relay is told to nobody any more."""
        self.ports.pop(node, None)

    def move(self, node: str, port: int) -> None:
        """The node listens on this port now; new connections go there. Its relay stays where it is."""
        self._targets[node] = port

    def also(self, node: str, port: int) -> int:
        """The node listens on one more port. Returns the port of the relay to it, which is cut with the first one."""
        (relay,) = free_ports(1)
        self._do(self._listen(relay, None, node, port))
        return relay

    def door(self, dialler: str, target: str) -> int:
        """The port on which this dialler alone reaches the target."""
        if (dialler, target) not in self._doors:
            (port,) = free_ports(1)
            self._do(self._listen(port, dialler, target))
            self._doors[dialler, target] = port
        return self._doors[dialler, target]

    # ---- what is wrong with them ------------------------------------------------------------------------------------

    def _carry_out(self, now: Mapping[Way, Toxics]) -> None:
        self._call(partial(self._weather.set_layer, ALL_TOXICS, now))

    # ---- on the loop ------------------------------------------------------------------------------------------------

    def _call(self, step: Callable[[], None]) -> None:
        async def run() -> None:
            step()

        if not self._closed:
            self._do(run())

    def _do(self, step: Any) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(CALL_S)

    async def _listen(self, port: int, dialler: str | None, target: str, to: int | None = None) -> None:
        """`to`: the target's port, unless it is the one that all know."""
        server = await asyncio.start_server(partial(self._relay, dialler, target, to), HOST, port)
        self._servers[port] = server

    async def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        await asyncio.sleep(0)  # the relay of a connection that was just taken begins, so that it can end in order
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _relay(
        self,
        dialler: str | None,
        target: str,
        to: int | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            hello = b""
            if dialler is None:
                try:
                    async with asyncio.timeout(HELLO_S):
                        dialler, hello = await self._read_dialler(reader, writer)
                except NO_HELLO:
                    return
            await self._connect((dialler, target), to, hello, (reader, writer))

    async def _connect(self, way: Way, to: int | None, hello: bytes, here: Ends) -> None:
        dialler, target = way
        for direction in (way, (target, dialler)):  # a dial needs both
            await self._weather.passable(direction)
        there = await asyncio.open_connection(HOST, self._targets[target] if to is None else to)
        there[1].write(hello)
        await RelayedConnection(way, self._weather, self._rng, here, there).run()
