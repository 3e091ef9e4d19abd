"""What operators ask of a cluster: change its members, hand leadership over. Any node may be asked; the leader does it.

Replacing a member is removing it and adding it again as a learner: two entries, since the new disk is another member
than the old one, whatever its name (see `bootstrap.py`).
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from quorate.cluster.raft.members import Member
from quorate.cluster.raft.membership.membership import CHANGE_S
from quorate.cluster.raft.replica import RaftReplica
from quorate.errors import Invalid, NoLeader, OutcomeUnknown
from quorate.words import Action

LEADER_S = 5.0
HANDED_OVER_S = 5.0
REPLACED_S = 2 * CHANGE_S + 1.0  # by the leader: two changes, and the way there and back


class Change(msgspec.Struct, array_like=True):
    """`raft` is the host:port of the member's links: required to add, kept if not given to replace.

    `was` is where the asked node knew the member: a leader may have died after it removed the member, and before it
    added it again.
    """

    action: Action
    id: str
    raft: str | None = None
    was: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_change = msgspec.msgpack.Decoder(Change).decode
_listed = msgspec.msgpack.Decoder(list[Member]).decode


class Admin:
    def __init__(self, replica: RaftReplica) -> None:
        self._replica = replica
        self._addresses = dict(replica.settings.peers)  # also of members that were there when it was asked before
        replica.serve("members", self._on_change)
        replica.serve("transfer", self._on_transfer)

    def members(self) -> list[dict[str, Any]]:
        return _shown(self._replica.members())

    async def change(self, action: Action, id: str, raft: str | None) -> list[dict[str, Any]]:
        """The members after it. Raises `Invalid`, `Conflict`, `NoLeader`, or `OutcomeUnknown`: then look again."""
        change = Change(action, id, raft, self._address(id) if action == "replace" else None)
        leader = await self._leader()
        if leader == change.id and change.action != "add":
            await self.transfer()  # a leader does not remove itself
            leader = await self._leader(other_than=change.id)
        if leader != self._replica.node_id:
            listed = await self._replica.call(leader, "members", _encode(change), timeout_s=REPLACED_S)
            return _shown(_listed(listed))
        return _shown(await self._change_here(change))

    def _address(self, id: str) -> str | None:
        self._addresses |= {member.id: member.raft for member in self._replica.members()}
        return self._addresses.get(id)

    async def _change_here(self, change: Change) -> list[Member]:
        replica = self._replica
        known = {member.id: member for member in replica.members()}.get(change.id)
        raft = change.raft or (known.raft if known else change.was)
        if change.action == "remove":
            return list((await replica.change_members(lambda members: members.removing(change.id))).members)
        if raft is None:
            raise Invalid(f"where does {change.id} listen for its peers? give its address, host:port")
        if change.action == "replace" and known is not None:
            if not known.voter or known.incarnation == replica.connected_incarnation(known.id):
                return replica.members()  # it has been replaced: the request was repeated
            await replica.change_members(lambda members: members.removing(change.id))
        return list((await replica.change_members(lambda members: members.adding(change.id, raft))).members)

    async def transfer(self) -> str:
        """Hand leadership to the most caught-up follower; who leads then. Raises `NoLeader`, `OutcomeUnknown`."""
        before = await self._leader()
        if before == self._replica.node_id:
            await self._replica.transfer_leadership()
        else:
            await self._replica.call(before, "transfer", b"")
        return await self._leader(other_than=before)

    async def _leader(self, other_than: str | None = None) -> str:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + (LEADER_S if other_than is None else HANDED_OVER_S)
        while (leader := self._replica.leader) is None or leader == other_than:
            if loop.time() > deadline_s:
                if other_than is None:
                    raise NoLeader("no leader is known: a majority of the nodes must be up and connected")
                raise OutcomeUnknown(f"{other_than} still leads: no other node has everything yet; try again")
            await asyncio.sleep(0.02)
        return leader

    async def _on_change(self, peer: str, data: bytes) -> bytes:
        if not self._replica.is_leader:
            raise NoLeader(f"{self._replica.node_id} does not lead now")
        return _encode(await self._change_here(_change(data)))

    async def _on_transfer(self, peer: str, data: bytes) -> bytes:
        await self._replica.transfer_leadership()
        return b""


def _shown(members: list[Member]) -> list[dict[str, Any]]:
    return [{"id": m.id, "raft": m.raft, "voter": m.voter, "incarnation": m.incarnation} for m in members]
