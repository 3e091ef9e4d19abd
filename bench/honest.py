"""Honest clients at a moderate rate: what they notice while somebody attacks the cluster.

Three kinds at once, each over all nodes in turn. Voters keep their connections and pause between two votes; those
called "redis" do the same by Redis' protocol. Newcomers come by the clock, however slow the answers are; each opens a
connection, sends one vote and leaves, so their time has the connecting in it. What a client waits for longer than
`GIVE_UP_S`, or is refused, is a failure; its time counts too.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from bench.gaps import percentile_s
from bench.workloads import one_vote, xadds

VOTERS = 9
PAUSE_S = 0.05
NEWCOMERS_PER_S = 30
GIVE_UP_S = 10.0
AGAIN_S = 0.05

Place = tuple[str, int]


class Noticed(msgspec.Struct):
    """In milliseconds, of one kind of client."""

    votes: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    failures: dict[str, int]


class Honest:
    """Runs until `stop`. `noticed` gives what was measured since it was called last."""

    def __init__(
        self, places: Sequence[Place], resp_places: Sequence[Place], trusts: ssl.SSLContext | None = None
    ) -> None:
        self._places, self._trusts = places, trusts
        self._numbers = itertools.count(time.time_ns() // 1_000_000 % 10**8 * 10**6)
        self._vote, self._xadd = one_vote("localhost"), xadds(1)("localhost")
        self._took_s: dict[str, list[float]] = {"voters": [], "newcomers": [], "redis": []}
        self._failures: dict[str, Counter[str]] = {kind: Counter() for kind in self._took_s}
        self._tasks = [
            asyncio.create_task(self._voter(kind, at[n % len(at)]))
            for kind, at in (("voters", places), ("redis", resp_places))
            for n in range(VOTERS)
        ]
        self._tasks.append(asyncio.create_task(self._newcomers()))
        self._once: set[asyncio.Task[None]] = set()

    def noticed(self) -> dict[str, Noticed]:
        found = {}
        for kind, took_s in self._took_s.items():
            p50, p99, longest = (percentile_s(took_s or [0.0], share) * 1e3 for share in (0.5, 0.99, 1.0))
            found[kind] = Noticed(len(took_s), p50, p99, longest, dict(self._failures[kind]))
            took_s.clear()
            self._failures[kind].clear()
        return found

    async def stop(self) -> None:
        tasks = [*self._tasks, *self._once]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _voter(self, kind: str, place: Place) -> None:
        while True:
            try:
                reader, writer = await self._connect(place)
            except (OSError, TimeoutError) as error:
                self._failures[kind][f"connecting: {type(error).__name__}"] += 1
                await asyncio.sleep(AGAIN_S)
                continue
            try:
                is_good = True
                while is_good:
                    is_good = await self._cast(kind, reader, writer, time.perf_counter())
                    await asyncio.sleep(PAUSE_S)
            finally:
                writer.transport.abort()

    async def _newcomers(self) -> None:
        next_s = time.perf_counter()
        for place in itertools.cycle(self._places):
            next_s += 1 / NEWCOMERS_PER_S
            await asyncio.sleep(next_s - time.perf_counter())
            task = asyncio.create_task(self._newcomer(place, next_s))
            self._once.add(task)
            task.add_done_callback(self._once.discard)

    async def _newcomer(self, place: Place, began_s: float) -> None:
        try:
            reader, writer = await self._connect(place)
        except (OSError, TimeoutError) as error:
            self._note("newcomers", began_s, f"connecting: {type(error).__name__}")
            return
        try:
            await self._cast("newcomers", reader, writer, began_s)
        finally:
            writer.transport.abort()

    async def _connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(GIVE_UP_S):
            return await asyncio.open_connection(*place, ssl=self._trusts)

    async def _cast(
        self, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, began_s: float
    ) -> bool:
        """One vote. False: this connection is of no more use."""
        failure = ""
        try:
            async with asyncio.timeout(GIVE_UP_S):
                number = next(self._numbers)
                if kind == "redis":
                    failure = await self._failure_by_resp(reader, writer, number)
                else:
                    failure = await self._failure_by_http(reader, writer, number)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            failure = type(error).__name__
        self._note(kind, began_s, failure)
        return not failure

    async def _failure_by_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> str:
        """The status, if the vote was not counted."""
        writer.write(self._vote(number))
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length))
        return "" if b'"applied":1' in body else head[9:12].decode()

    async def _failure_by_resp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> str:
        """The first word of the error, if the vote was not counted."""
        writer.write(self._xadd(number))
        line = await reader.readuntil(b"\r\n")
        if line.startswith(b"-"):
            return line[1:].split()[0].decode()
        await reader.readuntil(b"\r\n")
        return ""

    def _note(self, kind: str, began_s: float, failure: str) -> None:
        self._took_s[kind].append(time.perf_counter() - began_s)
        if failure:
            self._failures[kind][failure] += 1
