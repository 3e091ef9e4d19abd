"""The digest of this node's state at one version, so that two nodes, or two moments, can be compared.

A state is not kept, so its digest can be had now, or of a version to come: the state is frozen in the moment in which
that version is applied. Freezing takes milliseconds on the loop. The digest is made on a thread, one at a time, because
it costs as much as a snapshot.
"""

from __future__ import annotations

import asyncio

import msgspec

from quorate.cluster.fsm import Applied, Image
from quorate.cluster.replica import LogPoint, Replica
from quorate.errors import Gone, Overloaded, Stale
from quorate.turns import ThreadTurns

ASKED_MAX = 8
POINTS_ASKED_MAX = 100  # that wait for an entry of the log to come
POLL_S = 0.05
REST = 9.0  # times as long as a digest took, before the next one: nobody needs many, and each freezes the state


class Digest(msgspec.Struct, frozen=True):
    """Equal on all nodes at an equal version. `chain` covers all entries up to it, whatever they changed."""

    version: int
    digest: str
    chain: str


class Digests:
    """Runs on the node's loop."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._waiting: list[tuple[int, asyncio.Future[Image]]] = []  # for a version
        self._last: Digest | None = None
        self._asked = self._points_asked = 0
        self._one = asyncio.Lock()
        self._turns = ThreadTurns(REST)
        replica.on_applied(self._freeze)

    async def digest(self, version: int | None, wait_s: float) -> Digest:
        """Of the state now, or of a version that is reached within `wait_s`. Raises `Stale`, `Gone` or `Overloaded`."""
        if self._asked >= ASKED_MAX:
            raise Overloaded("too many digests are asked of this node at once; try again in a moment")
        self._asked += 1
        try:
            return await self._digest(version, wait_s)
        finally:
            self._asked -= 1

    async def log_point(self, index: int, wait_s: float) -> LogPoint:
        """The entry at `index` of the log, as soon as it is applied. Raises `Stale`, `Gone` or `Overloaded`."""
        end_s = asyncio.get_running_loop().time() + wait_s
        if self._points_asked >= POINTS_ASKED_MAX:
            raise Overloaded("too many ask this node for entries of the log that are to come; try again in a moment")
        self._points_asked += 1
        try:
            return await self._log_point(index, end_s)
        finally:
            self._points_asked -= 1

    async def _log_point(self, index: int, end_s: float) -> LogPoint:
        while True:
            try:
                return self._replica.log_point(index)
            except Stale:
                if asyncio.get_running_loop().time() >= end_s:
                    raise
            await asyncio.sleep(POLL_S)

    async def _digest(self, version: int | None, wait_s: float) -> Digest:
        now = self._replica.state.version
        if self._last is not None and self._last.version == (now if version is None else version):
            return self._last
        if version is None or version == now:
            image = self._replica.state.freeze()
        elif version < now:
            raise _gone(version, now)
        else:
            image = await self._reached(version, wait_s)
        async with self._one:
            if self._last is None or self._last.version != image.version:
                made = await asyncio.to_thread(self._make, image)
                self._last = Digest(image.version, made.hex(), image.head.chain.hex())
            return self._last

    def _make(self, image: Image) -> bytes:
        with self._turns.work():
            return image.digest()

    async def _reached(self, version: int, wait_s: float) -> Image:
        asked = version, asyncio.get_running_loop().create_future()
        self._waiting.append(asked)
        try:
            return await asyncio.wait_for(asked[1], wait_s)
        except TimeoutError:
            at = self._replica.state.version
            raise Stale(f"this node is at version {at:,}, not yet at {version:,}", version=at) from None
        finally:
            self._waiting.remove(asked)

    def _freeze(self, applied: Applied) -> None:
        if not self._waiting:
            return
        due = [(at, asked) for at, asked in self._waiting if at <= applied.version and not asked.done()]
        image = self._replica.state.freeze() if any(at == applied.version for at, _ in due) else None
        for at, asked in due:
            if at == applied.version and image is not None:
                asked.set_result(image)
            else:  # a snapshot came, with a later version
                asked.set_exception(_gone(at, applied.version))


def _gone(version: int, now: int) -> Gone:
    return Gone(
        f"version {version:,} is past: this node is at {now:,} and keeps the digest of no earlier state; "
        "ask for a version to come, or compare the log's chain with ?index="
    )
