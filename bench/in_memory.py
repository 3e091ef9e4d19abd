"""A replica of one node without a network or a disk, to measure what the rooms above the log cost.

Every proposal commits on the next turn of the loop. The state machine is the real one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from quorate.cluster import entry
from quorate.cluster.fsm import Applied, StateMachine
from quorate.cluster.replica import LogPage, LogPoint, PeerHandler
from quorate.errors import NeedsLevel, NoLeader, NotReady


class InMemoryReplica:
    """It is the leader from the start, and has no peers."""

    node_id = leader = "n1"
    is_leader = expects_leader = True
    leader_via = None
    term = 1

    def __init__(self) -> None:
        self.state = StateMachine()
        form = entry.FormCluster("bench", b"k" * 16, 1_000_000)
        self.state.apply(entry.encode_entry(self.now_ms(), [entry.encode_batch([form])]))

    def require_level(self, level: int, what: str) -> None:
        if self.state.level < level:
            raise NeedsLevel(f"{what} needs level {level}")

    def log_point(self, index: int | None = None) -> LogPoint:
        raise NotReady("there is no log")

    def log_page(self, first: int | None, entries_max: int, bytes_max: int) -> LogPage:
        raise NotReady("there is no log")

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def propose(self, entry: bytes) -> asyncio.Future[Applied]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Applied] = loop.create_future()
        loop.call_soon(lambda: answer.set_result(self.state.apply(entry)))
        return answer

    async def barrier(self) -> int:
        return self.state.version

    async def call_leader(self, leader: str, kind: str, request: bytes, *, timeout_s: float | None = None) -> bytes:
        raise NoLeader(f"no link to {leader}")

    def serve(self, kind: str, handler: PeerHandler) -> None:
        """There is no peer that calls."""

    def on_applied(self, listener: Callable[[Applied], None]) -> None:
        """No listener is called: the measured parts need none."""

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        """Leadership never changes."""

    def status(self) -> Mapping[str, Any]:
        return {"role": "leader", "term": self.term}

    async def transfer_leadership(self) -> bool:
        return False

    async def start(self) -> None:
        """It runs from the start."""

    async def stop(self) -> None:
        """There is nothing to stop."""
