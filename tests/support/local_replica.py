"""A replica of one node without a network or a disk: every proposal commits on the next turn of the loop.

For tests of the rooms above the log. The state machine, entries, batches and results are the real ones. A test can make
it do what a real replica does to its callers: have no leader, lose the leader, or never answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from hashlib import blake2b
from typing import Any

from quorate.cluster import entry
from quorate.cluster.fsm import Applied, StateMachine
from quorate.cluster.replica import LoggedEntry, LogPage, LogPoint, PeerHandler
from quorate.errors import Gone, NeedsLevel, NoLeader, NotReady, OutcomeUnknown, Stale


class LocalReplica:
    def __init__(self, node_id: str = "n1", *, form: bool = True) -> None:
        self.node_id = node_id
        self.state = StateMachine()
        self.handlers: dict[str, PeerHandler] = {}
        self.peers: dict[str, LocalReplica] = {}
        self.leader: str | None = node_id
        self.leader_via: str | None = None
        self.expects_leader = True
        self.term = 1
        self.call_s = 10.0
        self.formed: list[bytes] = []  # the entry that forms the cluster, if there is one
        self.proposed: list[bytes] = []
        self.held: list[tuple[bytes, asyncio.Future[Applied]]] | None = None  # if a list: proposals wait in it
        self._applied: list[Callable[[Applied], None]] = []
        self._leadership: list[Callable[[bool], None]] = []
        if form:
            form_cluster = entry.encode_batch([entry.FormCluster("c1", b"k" * 16, 1_000_000)])
            self.formed.append(entry.encode_entry(int(time.time() * 1000), [form_cluster]))
            self.state.apply(self.formed[0])

    @property
    def is_leader(self) -> bool:
        return self.leader == self.node_id

    def require_level(self, level: int, what: str) -> None:
        if self.state.level < level:
            raise NeedsLevel(f"{what} needs level {level}")

    def log_point(self, index: int | None = None) -> LogPoint:
        """Entries before number 2 were dropped, as after a snapshot."""
        last = len(self.formed) + len(self.proposed)
        at = last if index is None else index
        if not self.formed:
            raise NotReady("this node is starting or stopping")
        if at > last:
            raise Stale(f"this node has applied its log up to entry {last}, and not entry {at} yet")
        if at < min(2, last):
            raise Gone(f"entry {at} is no longer held")
        return LogPoint(at, self.term, blake2b(b"".join((self.formed + self.proposed)[:at]), digest_size=16).digest())

    def log_page(self, first: int | None, entries_max: int, bytes_max: int) -> LogPage:
        """All entries are held, from number 2 on: the first one stands for a snapshot."""
        if first == 1:
            raise Gone("entry 1 is no longer held")
        found = list(enumerate(self.formed + self.proposed, 1))[1:]
        begin = 2 if first is None else first
        entries = [
            LoggedEntry(at, self.term, self.log_point(at).chain, "batches", each) for at, each in found if at >= begin
        ]
        return LogPage(2, found[-1][0] if found else 1, entries[:entries_max])

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def propose(self, entry: bytes) -> asyncio.Future[Applied]:
        answer: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        if not self.is_leader:
            answer.set_exception(NoLeader(f"{self.node_id} does not lead"))
        elif self.held is not None:
            self.held.append((entry, answer))
        else:
            asyncio.get_running_loop().call_soon(self.commit, entry, answer)
        return answer

    def commit(self, entry: bytes, answer: asyncio.Future[Applied]) -> None:
        self.proposed.append(entry)
        applied = self.state.apply(entry)
        if not answer.done():
            answer.set_result(applied)
        for listener in self._applied:
            listener(applied)

    def commit_held(self) -> None:
        """All that waits, in one go; what comes from now on does not wait."""
        held, self.held = self.held or [], None
        for proposed, answer in held:
            self.commit(proposed, answer)

    def lead(self, leader: str | None, *, cut_off: bool = False) -> None:
        """Believe in another leader. Proposals that are held here become unknown; if this node is cut off from the new
        leader, they stay open, because its entries never come."""
        before, self.leader = self.is_leader, leader
        if self.held and not cut_off:
            for _, answer in self.held:
                if not answer.done():
                    answer.set_exception(OutcomeUnknown("leadership was lost"))
            self.held.clear()
        if before != self.is_leader:
            for listener in self._leadership:
                listener(self.is_leader)

    async def barrier(self) -> int:
        if not self.is_leader:
            raise NoLeader(f"{self.node_id} does not lead")
        await asyncio.sleep(0)
        return self.state.version

    async def call(self, peer: str, kind: str, request: bytes, *, timeout_s: float | None = None) -> bytes:
        if peer not in self.peers:
            raise NoLeader(f"no link to {peer}")
        try:
            async with asyncio.timeout(self.call_s if timeout_s is None else timeout_s):
                return await self.peers[peer].handlers[kind](self.node_id, request)
        except TimeoutError:
            raise OutcomeUnknown(f"{peer} did not answer in time") from None

    def call_leader(
        self, leader: str, kind: str, request: bytes, *, timeout_s: float | None = None
    ) -> Coroutine[None, None, bytes]:
        asks = self if self.leader_via is None else self.peers[self.leader_via]
        return asks.call(leader, kind, request, timeout_s=timeout_s)

    def serve(self, kind: str, handler: PeerHandler) -> None:
        self.handlers[kind] = handler

    def on_applied(self, listener: Callable[[Applied], None]) -> None:
        self._applied.append(listener)

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        self._leadership.append(listener)

    def status(self) -> Mapping[str, Any]:
        return {"role": "leader" if self.is_leader else "follower", "term": self.term}

    async def transfer_leadership(self) -> bool:
        return False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass
