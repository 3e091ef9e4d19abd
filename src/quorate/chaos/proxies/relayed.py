"""One relayed connection between two nodes: both directions, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct

from quorate.chaos.proxies.stream import OneWayStream
from quorate.chaos.proxies.weather import Weather
from quorate.chaos.toxics import Way

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class RelayedConnection:
    def __init__(self, way: Way, weather: Weather, rng: random.Random, dialler: Ends, dialled: Ends) -> None:
        """`way` is the direction of the dial."""
        self._weather, self._writers = weather, (dialler[1], dialled[1])
        self._ways = (way, (way[1], way[0]))
        self._streams = (
            OneWayStream(self._ways[0], weather, rng, dialler[0], dialled[1], dialler[1]),
            OneWayStream(self._ways[1], weather, rng, dialled[0], dialler[1], dialled[1]),
        )

    async def run(self) -> None:
        """Until one end has told the other that it is gone, or a toxic ends the connection."""
        ending = [asyncio.create_task(stream.write()) for stream in self._streams]
        ending.append(asyncio.create_task(self._watch()))
        reading = [asyncio.create_task(stream.read()) for stream in self._streams]
        try:
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in [*ending, *reading]:
                task.cancel()
            await asyncio.gather(*ending, *reading, return_exceptions=True)
            for writer in self._writers:
                writer.close()

    async def _watch(self) -> None:
        """Ends when `timeout` or `reset_peer` ends the connection."""
        while True:
            seen = [self._weather.toxics(way) for way in self._ways]
            resets = [each.reset_peer_s for each in seen if each.reset_peer_s is not None]
            limits = [*resets, *(each.timeout_s for each in seen if each.timeout_s is not None)]
            if not await self._weather.changed(min(limits, default=None)):
                if resets:
                    for writer in self._writers:
                        reset(writer)
                return


def reset(writer: asyncio.StreamWriter) -> None:
    """Close it so that the other end reads "connection reset by peer"."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()
