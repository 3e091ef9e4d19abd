"""What stands between a door and a server: it passes on what both say, and lies about some of it when it is told to.

A server that lies does what it is asked, or does not, and says something else: it fails after it has written, or says
everything twice. It never loses what it has acknowledged, because no client of it can make up for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from typing import ClassVar

from quorate.chaos.proxies.relayed import Ends, reset

HOST = "127.0.0.1"
SHARE = 0.5  # of what could be lied about
FRAME_BYTES_MAX = 64 * 1024 * 1024
Address = tuple[str, int]


class LyingConnection(ABC):
    """One connection through the relay. `forth` and `back` pass on whole messages, and end by an exception."""

    def __init__(self, liar: Liar, client: Ends, server: Ends) -> None:
        self.liar = liar
        self.client_reader, self.client_writer = client
        self.server_reader, self.server_writer = server

    @abstractmethod
    async def forth(self) -> None: ...

    @abstractmethod
    async def back(self) -> None: ...

    async def to_server(self, data: bytes) -> None:
        self.server_writer.write(data)
        await self.server_writer.drain()

    async def to_client(self, data: bytes) -> None:
        self.client_writer.write(data)
        await self.client_writer.drain()

    def reset(self) -> None:
        reset(self.client_writer)


class Liar:
    """Listens on `port` from `start` on. `lie` is one of `lies`, or "" for the truth. Used on one loop."""

    lies: ClassVar[frozenset[str]] = frozenset()
    connection: ClassVar[type[LyingConnection]]

    def __init__(self, target: Address, rng: random.Random) -> None:
        self.target, self.rng = target, rng
        self.lie = ""
        self.told: int = 0  # lies so far
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._relay, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def lies_now(self) -> str:
        """The lie that is due for one message; mostly every other one."""
        if not self.lie or self.rng.random() >= SHARE:
            return ""
        self.told += 1
        return self.lie

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError), contextlib.closing(writer):
            try:
                server = await asyncio.open_connection(*self.target, limit=FRAME_BYTES_MAX)
            except OSError:
                return
            connection = self.connection(self, (reader, writer), server)
            both = [asyncio.create_task(connection.forth()), asyncio.create_task(connection.back())]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
                server[1].close()
