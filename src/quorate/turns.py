"""Big work that any client may ask for: one piece at a time, and after each piece a rest that is twice as long.

A tally of 100,000 options takes some 25 ms, and a client asks for it with 60 bytes. If a hundred do, a node must go on
to count votes and to be heard as the leader. So big work of all kinds takes turns, and has a third of the time; the
rest is for what is small. While this node applies votes, big work on the loop has a tenth: all nodes may be asked at
once, and a vote goes through three. Callers take turns, too: the work of each is done in the order in which it came.
Who asks for one big thing alone does not notice.

`Turns` is for work on the loop, which is done in pieces of about a millisecond. `ThreadTurns` is for work on threads:
they share the interpreter with the loop, so of eight that work at once the loop would have to wait for each.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType

from quorate.fair_lock import FairLock

REST = 2.0  # times as long as the work
REST_BESIDE_VOTES = 9.0
VOTES_S = 0.1  # so long after the last vote there is still such a rest
REST_AT_ONCE_S = 0.002  # timers of the loop are no finer; less is put off until it is so much
REST_MAX_S = 1.0


class VotesNow:
    """Whether a node applies votes now. `version` is that of its state."""

    def __init__(self, version: Callable[[], int]) -> None:
        self._version = version
        self._seen, self._seen_s = 0, float("-inf")

    def come(self) -> bool:
        if (version := self._version()) != self._seen:
            self._seen, self._seen_s = version, time.perf_counter()
        return time.perf_counter() - self._seen_s < VOTES_S


class Turns:
    """Used on one loop: `async with turns:` around the work, and `await turns.rest()` between its pieces.

    `async with turns.of(who):` is for work that somebody asked for. `version` is that of the state.
    """

    def __init__(self, version: Callable[[], int] = lambda: 0) -> None:
        self._votes = VotesNow(version)
        self._one = FairLock()
        self._began_s = self._rests_until_s = 0.0

    async def __aenter__(self) -> None:
        await self._begin("")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @asynccontextmanager
    async def of(self, who: str) -> AsyncIterator[None]:
        await self._begin(who)
        try:
            yield
        finally:
            self._end()

    async def _begin(self, who: str) -> None:
        await self._one.acquire(who)
        try:
            await self._rest()
        except BaseException:
            self._one.release()
            raise

    def _end(self) -> None:
        self._note()
        self._one.release()

    async def rest(self) -> None:
        """Let the loop do other things for a while."""
        self._note()
        await self._rest()

    def _note(self) -> None:
        now_s = time.perf_counter()
        owed_s = max(0.0, self._rests_until_s - self._began_s)  # of pieces before, which were too short to rest after
        times = REST_BESIDE_VOTES if self._votes.come() else REST
        self._rests_until_s = now_s + min(owed_s + (now_s - self._began_s) * times, REST_MAX_S)

    async def _rest(self) -> None:
        left_s = self._rests_until_s - time.perf_counter()
        await asyncio.sleep(left_s if left_s >= REST_AT_ONCE_S else 0)
        self._began_s = time.perf_counter()


class ThreadTurns:
    """`with turns.work():` around what a thread does, and `with turns.waiting():` where it waits for others in it.

    `rest` is how many times as long as the work the rest is.
    """

    def __init__(self, rest: float = REST) -> None:
        self._rest = rest
        self._one = threading.Lock()
        self._never = threading.Event()
        self._rests_until_s = 0.0
        self._mine = threading.local()

    @contextmanager
    def work(self) -> Iterator[None]:
        with self._one:
            self._never.wait(max(0.0, self._rests_until_s - time.monotonic()))
            self._mine.works, began_s = True, time.thread_time()
            try:
                yield
            finally:
                self._mine.works = False
                worked_s = time.thread_time() - began_s
                self._rests_until_s = time.monotonic() + min(worked_s * self._rest, REST_MAX_S)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let another thread work meanwhile. Nothing happens where this one has no turn."""
        if not getattr(self._mine, "works", False):
            yield
            return
        self._one.release()
        try:
            yield
        finally:
            self._one.acquire()
