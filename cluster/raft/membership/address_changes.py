"""Brings the addresses in the log up to date, on the leader: a member that says where it is now is looked for there.

One address replaces another in the log only after that member, by its id and its incarnation, answered at the new one.
So an address told wrongly never displaces a good one. The leader asks there itself. Whether its own address is right it
cannot know, so a connected peer asks there for it. An address changes no majority, but its entry is a membership entry
as any other: one at a time, and not many in a short time, whatever flaps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.line_limit import LineLimit
from quorate.cluster.raft.members import Member
from quorate.cluster.raft.membership.addresses import differences
from quorate.cluster.raft.membership.membership import Membership
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.replica import PeerHandler
from quorate.errors import NotFound, Overloaded, QuorateError
from quorate.host_port import why_unreachable
from quorate.shown import line

KIND = "address"  # a call: the peer asks who answers at an address, which it is told as its own
ANSWER_S = 8.0
WHY_MAX = 400  # characters of a reason that a peer gives
SEEK_S, SEEK_EVERY_S = 6.0, 0.3  # how long a member that may be starting is looked for, if an operator asks
RETRY_S = (1.0, 60.0)  # the pause before an address is tried again grows from one to the other
FRESH_S = 5.0  # so long an answer counts
TRIED_MAX = 4  # addresses that this node tries for its peers at a time
ENTRIES, ENTRY_EVERY_S = 8, 30.0  # so many changes at once, and then one in a while

log = logging.getLogger(__name__)


class Asker(Protocol):
    """The transport, as far as addresses need it."""

    async def ask_who_is_at(self, address: str, peer: str) -> Introduction: ...

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes: ...

    def serve(self, kind: str, handler: PeerHandler) -> None: ...


class _Search:
    """For one member at one address: whether it answers there."""

    def __init__(self, member: Member, address: str) -> None:
        self.member, self.address = member, address
        self.task: asyncio.Task[str | None] | None = None
        self.found_s: float | None = None
        self.next_s = float("-inf")
        self.pause_s = RETRY_S[0]

    def is_for(self, member: Member, address: str) -> bool:
        return (member, address) == (self.member, self.address)


class AddressChanges:
    """Ticked by the replica. `configured` is `raft.peers`; with it this node says where it is itself."""

    def __init__(
        self, node_id: str, configured: Mapping[str, str], engine: Engine, membership: Membership, transport: Asker
    ) -> None:
        self._node_id, self._configured = node_id, configured
        self.own = configured.get(node_id, "")
        self._engine, self._membership, self._transport = engine, membership, transport
        self._searches: dict[str, _Search] = {}
        self._trying = 0  # addresses that peers call their own
        self._entries = LineLimit(ENTRIES, ENTRY_EVERY_S)
        self._lines: dict[str, LineLimit] = {}
        transport.serve(KIND, self._on_call)
        if differs := self.differences():
            log.warning("raft.peers differs from the log: %s. Both are tried", "; ".join(differs))

    def differences(self) -> list[str]:
        """How this node's settings and its log differ about addresses, in words; nothing until the log names it."""
        logged = self._membership.list_members()
        known = self._node_id in {member.id for member in logged}
        return differences(self._configured, logged) if known else []

    # ---- the leader's own motion ------------------------------------------------------------------------------------

    def tick(self) -> None:
        current = self._membership.current
        if not self._engine.leads_its_term or current is None:
            self.stop()
            return
        news = {member.id: told for member in current.members if (told := self._news(member))}
        for id in self._searches.keys() - news.keys():
            self._drop(id)
        moved = {m.id: news[m.id] for m in current.members if m.id in news and self._is_there(m, news[m.id])}
        if moved and self._engine.may_change_members and self._entries.allow(monotonic_s()) is not None:
            for member in current.members:
                if member.id in moved:
                    log.info("%s has moved from %s to %s: it answers there", member.id, member.raft, moved[member.id])
            self._membership.propose(current.moving(moved))

    def stop(self) -> None:
        """This node leads no more. Idempotent."""
        for id in list(self._searches):
            self._drop(id)

    def _drop(self, id: str) -> None:
        search = self._searches.pop(id)
        if search.task is not None:
            search.task.cancel()

    def told(self, member: Member) -> str:
        """The address that a member tells of itself; "" if it is not connected, or tells none."""
        return self.own if member.id == self._node_id else self._membership.told_address(member)

    def _news(self, member: Member) -> str:
        """What it tells, if that is another address than the log's, and one that others may reach; otherwise ""."""
        told = self.told(member)
        return "" if told == member.raft or why_unreachable(told) is not None else told

    def _is_there(self, member: Member, address: str) -> bool:
        """Whether it answered at this address a moment ago. If that is not known, it is found out."""
        search, now_s = self._searches.get(member.id), monotonic_s()
        if search is None or not search.is_for(member, address):
            if search is not None:
                self._drop(member.id)
            search = self._searches[member.id] = _Search(member, address)
        if search.found_s is not None and now_s - search.found_s < FRESH_S:
            return True
        if search.task is None and now_s >= search.next_s:
            search.task = asyncio.get_running_loop().create_task(self.why_not_at(member, address))
            search.task.add_done_callback(lambda task: self._answered(search, task))
        return False

    def _answered(self, search: _Search, task: asyncio.Task[str | None]) -> None:
        if task.cancelled():
            return
        search.task = None
        now_s = monotonic_s()
        if (why := task.result()) is None:
            search.found_s = now_s
            return
        search.next_s = now_s + search.pause_s
        search.pause_s = min(2 * search.pause_s, RETRY_S[1])
        limit = self._lines.setdefault(search.member.id, LineLimit(1, 60.0))
        if (more := limit.allow(now_s)) is not None:
            id, was = search.member.id, search.member.raft
            log.warning("%s says that it is at %s, but %s; the log keeps %s%s", id, search.address, why, was, more)

    # ---- asking -----------------------------------------------------------------------------------------------------

    async def why_not_at(self, member: Member, address: str) -> str | None:
        """None if the member answers at this address; otherwise why the address is not its own, in words."""
        if member.id != self._node_id:
            return await self._ask(address, member.id, member.incarnation)
        peers = self._membership.connected_members()
        if not peers:
            alone = self._membership.current is not None and len(self._membership.current.members) == 1
            return await self._ask(address, member.id, member.incarnation) if alone else "no other node can try it now"
        why = ""
        for peer in peers:
            try:
                told = await self._transport.call(peer, KIND, address.encode(), timeout_s=ANSWER_S)
                why = line(told.decode(errors="replace"), WHY_MAX)
            except NotFound:
                why = f"{peer} runs 0.1.0 and cannot try it"
            except QuorateError as error:
                why = f"{peer} could not try it: {error.detail}"
            if not why:
                return None
        return why

    async def seek(self, member: Member, address: str) -> str | None:
        """As `why_not_at`, but the member may be starting: ask for a while."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + SEEK_S
        why = await self.why_not_at(member, address)
        for _ in range(int(SEEK_S / SEEK_EVERY_S)):
            if why is None or loop.time() >= end_s:
                break
            await asyncio.sleep(SEEK_EVERY_S)
            why = await self.why_not_at(member, address)
        return why

    def connected_incarnation(self, peer: str) -> str | None:
        """The disk of `peer` that this node is connected with now; None without a connection."""
        return self._membership.connected_incarnation(peer)

    async def incarnation_at(self, address: str, id: str) -> str | None:
        """The disk of the node with this id that answers at this address; None if none does."""
        try:
            return (await self._transport.ask_who_is_at(address, id)).incarnation
        except (OSError, ValueError):
            return None

    async def _ask(self, address: str, id: str, incarnation: str) -> str | None:
        """`incarnation` is "" for a learner, whose disk is not known yet."""
        try:
            found = await self._transport.ask_who_is_at(address, id)
        except (OSError, ValueError) as error:
            return f"{id} does not answer there ({error})"
        if incarnation and found.incarnation != incarnation:
            return f"the node that answers there has another disk than {id}"
        return None

    async def _on_call(self, peer: str, body: bytes) -> bytes:
        """Try an address for a peer that calls it its own. The answer is why not, or b""."""
        if self._trying >= TRIED_MAX:
            raise Overloaded(f"this node tries {TRIED_MAX} addresses already; try again in a moment")
        incarnation = self._membership.connected_incarnation(peer)
        self._trying += 1
        try:
            why = await self._ask(body.decode(errors="replace"), peer, incarnation or "")
        finally:
            self._trying -= 1
        return (why or "").encode()
