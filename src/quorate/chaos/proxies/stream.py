"""One direction of a relayed connection: reads, delays and passes on, as the toxics of this moment say.

A relay of TCP can lose no bytes, or the rest would be garbage. Loss is shown as what a lost packet does to TCP: it is
sent again after a timeout, twice as long each time, and all that follows waits behind it. Nor can it put bytes of one
connection into another order. Reordering is over connections: the sender finds its connection closed and makes another
one, and the last pieces of the old one arrive after the first of the new one.
"""

from __future__ import annotations

import asyncio
import random

from quorate.chaos.proxies.weather import Weather
from quorate.chaos.toxics import Toxics, Way

PIECE_BYTES = 16_384
WAITING_MAX = 128  # pieces: then the sender's own buffers fill, as in a network that takes no more
RETRANSMISSION_S = 0.2
RETRANSMISSIONS_MAX = 4
LATE_S = 0.4  # a piece that comes after those of the next connection: longer than a node takes to dial again
END = b""


class OneWayStream:
    """From one end's reader to the other end's writer. `sender` is the connection to the end that sends."""

    def __init__(
        self,
        way: Way,
        weather: Weather,
        rng: random.Random,
        source: asyncio.StreamReader,
        goal: asyncio.StreamWriter,
        sender: asyncio.StreamWriter,
    ) -> None:
        self._way, self._weather, self._rng = way, weather, rng
        self._source, self._goal, self._sender = source, goal, sender
        self._waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_MAX)
        self._due_s = 0.0  # of the newest piece that waits
        self._passed: int | None = None  # bytes since `limit_data_bytes` holds
        self._goal_is_gone = False

    @property
    def toxics(self) -> Toxics:
        return self._weather.toxics(self._way)

    async def read(self) -> None:
        """Take what the sender sends, until its end."""
        loop = asyncio.get_running_loop()
        piece = None
        while piece != END:
            try:
                piece = await self._source.read(PIECE_BYTES)
            except OSError:
                piece = END
            toxics = self.toxics
            delay_s = toxics.latency_s + toxics.jitter_s * self._rng.uniform(-1, 1)
            self._due_s = max(self._due_s, loop.time() + max(0.0, delay_s))
            await self._waiting.put((self._due_s, piece))

    async def write(self) -> None:
        """Pass it on, until the end of what was sent or of what may pass."""
        loop = asyncio.get_running_loop()
        while True:
            due_s, piece = await self._waiting.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await self._weather.passable(self._way)
            toxics = self.toxics
            if piece == END:
                await asyncio.sleep(toxics.slow_close_s)
                return
            await self._lose(toxics)
            await self._come_late(toxics)
            if not await self._pass(piece, toxics):
                return

    async def _lose(self, toxics: Toxics) -> None:
        wait_s, times = RETRANSMISSION_S, 0
        while times < RETRANSMISSIONS_MAX and self._rng.random() < toxics.loss:
            await asyncio.sleep(wait_s)
            wait_s, times = 2 * wait_s, times + 1

    async def _come_late(self, toxics: Toxics) -> None:
        if self._rng.random() < toxics.reordering:
            self._sender.close()
            await asyncio.sleep(LATE_S)

    async def _pass(self, piece: bytes, toxics: Toxics) -> bool:
        """False: as many bytes have passed as may."""
        may_pass = self._may_pass(len(piece), toxics)
        length = toxics.slicer_bytes or PIECE_BYTES
        if toxics.bandwidth_bytes_s:
            length = min(length, max(1, int(toxics.bandwidth_bytes_s / 20)))
        for at in range(0, may_pass, length):
            part = piece[at : min(at + length, may_pass)]
            await self._send(part)
            pause_s = toxics.slicer_pause_s
            if toxics.bandwidth_bytes_s:
                pause_s += len(part) / toxics.bandwidth_bytes_s
            if pause_s:
                await asyncio.sleep(pause_s)
        return may_pass == len(piece)

    def _may_pass(self, bytes_: int, toxics: Toxics) -> int:
        if toxics.limit_data_bytes is None:
            self._passed = None
            return bytes_
        passed = self._passed or 0
        may_pass = max(0, min(bytes_, toxics.limit_data_bytes - passed))
        self._passed = passed + may_pass
        return may_pass

    async def _send(self, part: bytes) -> None:
        """Bytes for an end that is gone are dropped: that it is gone, the other direction tells, if it may."""
        if not self._goal_is_gone:
            self._goal.write(part)
            try:
                await self._goal.drain()
            except OSError:
                self._goal_is_gone = True
