"""The time that closes polls: the latest that at least a majority of the members' clocks have reached.

One wrong clock, whoever leads and whatever was started again, neither closes a poll early nor keeps it open. The leader
asks each voter for its wall clock, when it is elected and once a second from then on. Between two answers, and while a
member is silent, its clock is carried on by this node's monotonic clock. The way back of an answer is not added, so the
time is late by less than a moment and never early.

A member of version 0.1.0 does not know the question. Where such members are so many that the others are no majority,
the leader's own clock counts, as it did then (`leader_clock.py`). A single voter is its own majority, so there the
leader's own clock counts as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from quorate.cluster.raft.line_limit import ChangeLines
from quorate.cluster.replica import PeerHandler
from quorate.errors import NoLeader, Overloaded, QuorateError

KIND = "clock"
ASK_S = 1.0
ANSWER_S = 1.0
WRONG_MS = 1_000  # a clock that is further from the majority's is told in the log
TOLD_AGAIN = 2  # and again when it is so many times as wrong as was told, or wrong in the other direction
WAIT_S = 5.0  # a new leader waits for clocks no longer than this; one that has no majority commits nothing anyway
TIME_BYTES = 8

log = logging.getLogger(__name__)


class PeerCaller(Protocol):
    """The transport, as far as clocks need it."""

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes: ...

    def serve(self, kind: str, handler: PeerHandler) -> None: ...


class MemberClocks:
    """Ticked by the replica. `wall` and `monotonic` are this node's clocks, in seconds."""

    def __init__(
        self, node_id: str, transport: PeerCaller, wall: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._node_id, self._transport = node_id, transport
        self._wall, self._monotonic = wall, monotonic
        self._voters: set[str] = set()
        self._ahead_ms: dict[str, int] = {}  # what a voter told, minus our monotonic clock when it came
        self._mute: set[str] = set()  # voters that do not know the question
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._leads_since_s: float | None = None
        self._ask_at_s = 0.0
        self._wrong: dict[str, int] = {}  # the wrong clocks, each with the offset that was told last
        self._lines: dict[str, ChangeLines] = {}
        transport.serve(KIND, self._tell)

    def _wall_ms(self) -> int:
        return int(self._wall() * 1000)

    def _elapsed_ms(self) -> int:
        return int(self._monotonic() * 1000)

    async def _tell(self, peer: str, body: bytes) -> bytes:
        return self._wall_ms().to_bytes(TIME_BYTES, "big", signed=True)

    # ---- asking -----------------------------------------------------------------------------------------------------

    def tick(self, *, leads: bool, voters: Callable[[], set[str]]) -> None:
        """Ask when it is time to. `leads` holds from the election on, before anything is proposed."""
        now_s = self._monotonic()
        if not leads:
            self.stop()
            return
        if self._leads_since_s is None:
            self._leads_since_s, self._ask_at_s = now_s, now_s
        if now_s >= self._ask_at_s:
            self._ask_at_s = now_s + ASK_S
            self._voters = voters()
            self._say_who_is_wrong()
            for peer in sorted(self._voters - {self._node_id, *self._asking}):
                task = asyncio.get_running_loop().create_task(self._ask(peer))
                self._asking[peer] = task
                task.add_done_callback(partial(self._asked, peer))

    async def _ask(self, peer: str) -> None:
        try:
            answer = await self._transport.call(peer, KIND, b"", timeout_s=ANSWER_S)
        except (NoLeader, Overloaded):  # it was not asked
            return
        except QuorateError as error:
            if error.definite:
                self._mute.add(peer)
            return
        if len(answer) == TIME_BYTES:
            self._mute.discard(peer)
            self._ahead_ms[peer] = int.from_bytes(answer, "big", signed=True) - self._elapsed_ms()

    def _asked(self, peer: str, done: asyncio.Task[None]) -> None:
        if self._asking.get(peer) is done:
            del self._asking[peer]

    def stop(self) -> None:
        """This node leads no more: the next leadership asks anew. Idempotent."""
        if self._leads_since_s is None:
            return
        self._leads_since_s = None
        for task in self._asking.values():
            task.cancel()
        self._asking, self._ahead_ms, self._mute, self._wrong = {}, {}, set(), {}
        for lines in self._lines.values():
            lines.drop()

    # ---- what the clocks say ----------------------------------------------------------------------------------------

    def now_ms(self, reached_ms: int, own_ms: Callable[[], int]) -> int:
        """The time of the next entry. `reached_ms` is that of the last one, `own_ms` what this node alone believes."""
        majority_ms = self.majority_ms
        if majority_ms is not None:
            return majority_ms
        if self.awaited and reached_ms:  # for a moment after an election, time stands still
            return reached_ms
        return own_ms()

    def _clocks_ms(self) -> dict[str, int]:
        """The clocks that are known, carried on to now."""
        elapsed_ms = self._elapsed_ms()
        known = {peer: ahead_ms + elapsed_ms for peer, ahead_ms in self._ahead_ms.items() if peer in self._voters}
        return known | {self._node_id: self._wall_ms()} if self._node_id in self._voters else known

    @property
    def majority_ms(self) -> int | None:
        """The latest time that at least a majority of the voters' clocks have reached. None: too few are known."""
        clocks, majority = sorted(self._clocks_ms().values(), reverse=True), len(self._voters) // 2 + 1
        return clocks[majority - 1] if len(self._voters) > 1 and len(clocks) >= majority else None

    @property
    def awaited(self) -> bool:
        """Whether this node leads, and answers that may make a majority are on their way."""
        if self._leads_since_s is None or self._voters == {self._node_id}:
            return False
        answered = {self._node_id, *self._ahead_ms, *self._mute} & self._voters
        waited_s = self._monotonic() - self._leads_since_s
        return len(answered) * 2 <= len(self._voters) and waited_s < WAIT_S

    def offsets_ms(self) -> dict[str, int]:
        """How far the leader sees each known clock ahead of the time that closes polls. Empty elsewhere."""
        majority_ms = self.majority_ms
        return {} if majority_ms is None else {id: ms - majority_ms for id, ms in sorted(self._clocks_ms().items())}

    def _say_who_is_wrong(self) -> None:
        for id, offset_ms in self.offsets_ms().items():
            told_ms = self._wrong.get(id, 0)
            if abs(offset_ms) > WRONG_MS:
                if offset_ms * told_ms > 0 and abs(offset_ms) < TOLD_AGAIN * abs(told_ms):
                    continue
                self._wrong[id] = offset_ms
                self._say(id, offset_ms)
            elif self._wrong.pop(id, 0):
                self._say(id, 0)
        for lines in self._lines.values():
            lines.check(self._monotonic())

    def _say(self, id: str, offset_ms: int) -> None:
        level, line = logging.INFO, f"the clock of {id} agrees with the majority's again"
        if offset_ms:
            by = f"{abs(offset_ms) / 1000:.1f} s {'ahead of' if offset_ms > 0 else 'behind'}"
            level, line = logging.WARNING, f"the clock of {id} is {by} the majority's, which closes polls: set it (NTP)"
        self._lines.setdefault(id, ChangeLines(log)).write(level, line, self._monotonic())
