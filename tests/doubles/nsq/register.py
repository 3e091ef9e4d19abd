"""How the double of nsqd registers at nsqlookupds: over TCP, again after each reconnect, with regular PINGs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import msgspec

from tests.doubles.nsq import wire
from tests.doubles.nsq.broker import Broker
from tests.doubles.nsq.wire import Options

PING_EVERY_S = 15.0  # as nsqd
RECONNECT_AFTER_S = 1.0


class Registrar:
    def __init__(self, options: Options, broker: Broker, tcp_port: int, http_port: int) -> None:
        self._options, self._broker = options, broker
        self._ports = tcp_port, http_port
        self._news: dict[str, asyncio.Queue[bytes]] = {a: asyncio.Queue() for a in options.lookupd_tcp_address}

    def start(self) -> list[asyncio.Task[None]]:
        self._broker.on_change = self._tell
        return [asyncio.create_task(self._keep(address)) for address in self._news]

    def _tell(self, sign: str, topic: str, channel: str) -> None:
        command = "REGISTER" if sign == "+" else "UNREGISTER"
        for news in self._news.values():
            news.put_nowait(f"{command} {topic} {channel}".rstrip().encode() + b"\n")

    async def _keep(self, address: str) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._register(address)
            await asyncio.sleep(RECONNECT_AFTER_S)

    async def _register(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            news = self._news[address]
            while not news.empty():
                news.get_nowait()  # everything is registered below
            identity = msgspec.json.encode(self._identity())
            first = b"IDENTIFY\n" + struct.pack(">i", len(identity)) + identity
            for command in [wire.MAGIC_LOOKUP + first, *self._everything()]:
                await _ask(reader, writer, command)
            while True:
                await _ask(reader, writer, await self._next(news, reader))
        finally:
            writer.close()

    async def _next(self, news: asyncio.Queue[bytes], reader: asyncio.StreamReader) -> bytes:
        try:
            return await asyncio.wait_for(news.get(), PING_EVERY_S if not reader.at_eof() else 0)
        except TimeoutError:
            return b"PING\n"

    def _everything(self) -> list[bytes]:
        names = [(t.name, c) for t in self._broker.topics.values() for c in (list(t.channels) or [""])]
        return [f"REGISTER {topic} {channel}".rstrip().encode() + b"\n" for topic, channel in names]

    def _identity(self) -> dict[str, object]:
        return {
            "version": wire.VERSION,
            "tcp_port": self._ports[0],
            "http_port": self._ports[1],
            "hostname": socket.gethostname(),
            "broadcast_address": self._options.broadcast_address,
        }


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes) -> bytes:
    writer.write(command)
    async with asyncio.timeout(5):
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        return await reader.readexactly(size)
