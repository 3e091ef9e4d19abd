"""Partitions as they are: connections between nodes that stay open and carry nothing.

Each node is reached through a relay of its own. The relay reads in the first frame, which is not sealed, which node
dials. So it knows both ends of each connection. While two nodes are cut, what one sends is neither lost nor passed on:
it waits, as in the buffers of a network that is cut, and goes on when the cut is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from quorate.processes.node import NodeProcess
from quorate.processes.ports import free_ports
from tests.support.cluster import Cluster

CHUNK_BYTES = 65_536
LENGTH_BYTES = 4  # of the number before each frame
ENDED = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError)  # ways in which a relayed connection ends


class SilentLinks:
    """The relays of all nodes, on a thread with a loop of its own. `ports` are their ports, by node id."""

    def __init__(self, targets: Mapping[str, int]) -> None:
        self.ports = dict(zip(targets, free_ports(len(targets)), strict=True))
        self._targets = dict(targets)
        self._cut: set[frozenset[str]] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Condition()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self, some: Iterable[str], others: Iterable[str]) -> None:
        """Let nothing through between any of `some` and any of `others`."""
        self._do(self._set({frozenset((a, b)) for a in some for b in others}))

    def heal(self) -> None:
        self._do(self._set(set()))

    def _do(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    # ---- on the loop ------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        for node, port in self.ports.items():
            await asyncio.start_server(partial(self._relay, node), "127.0.0.1", port)

    async def _close(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _set(self, cut: set[frozenset[str]]) -> None:
        async with self._changed:
            self._cut = cut
            self._changed.notify_all()

    async def _relay(self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*ENDED), contextlib.closing(writer):
            length = await reader.readexactly(LENGTH_BYTES)
            hello = await reader.readexactly(int.from_bytes(length, "big"))
            ends = frozenset((node, msgspec.msgpack.decode(hello)[1]))
            await self._joined(ends)
            there, here = await asyncio.open_connection("127.0.0.1", self._targets[node])
            with contextlib.closing(here):
                here.write(length + hello)
                passing = [
                    asyncio.create_task(self._pass(ends, source, goal))
                    for source, goal in ((reader, here), (there, writer))
                ]
                try:
                    await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in passing:
                        task.cancel()
                    await asyncio.gather(*passing, return_exceptions=True)

    async def _pass(self, ends: frozenset[str], source: asyncio.StreamReader, goal: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK_BYTES):
            await self._joined(ends)
            goal.write(data)
            await goal.drain()
        await self._joined(ends)  # the end of a connection does not get through a cut either

    async def _joined(self, ends: frozenset[str]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: ends not in self._cut)


class CutCluster(Cluster):
    """A real cluster whose nodes reach each other through `links`."""

    def __init__(self, folder: Path, size: int = 3, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, size, settings)
        self.links = SilentLinks({node.id: node.place.raft.port for node in self.nodes})
        for node in self.nodes:
            node.settings["raft.peers"] = [f"{id}=127.0.0.1:{port}" for id, port in self.links.ports.items()]

    def __enter__(self) -> Self:
        self.links.__enter__()
        try:
            return super().__enter__()
        except BaseException:
            self.links.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.links.__exit__(kind, error, trace)

    def cut(self, some: Iterable[NodeProcess], others: Iterable[NodeProcess]) -> None:
        self.links.cut([node.id for node in some], [node.id for node in others])
