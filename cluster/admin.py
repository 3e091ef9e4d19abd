"""What operators ask of a cluster: change its members, and hand leadership over. Any node takes the request, and the
leader does it (see `leader_call.py`).

To replace a member is to remove it and to add it again as a learner. These are two entries of the log, because a new
disk makes another member, even under the same name (see `bootstrap.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

from quorate.cluster.raft.members import Member
from quorate.cluster.raft.membership.membership import CHANGE_S
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.submit.leader_call import LeaderCall
from quorate.errors import Invalid, NoLeader, OutcomeUnknown
from quorate.words import Action

LEADER_S = 5.0  # how long to wait for a leader
HANDED_OVER_S = 5.0  # how long to wait for another leader
NO_LEADER = "no leader is known: a majority of the nodes must be up and connected"
REPLACED_S = 2 * CHANGE_S + 1.0  # how long the leader's answer may take: two changes, and the way there and back


class Change(msgspec.Struct, array_like=True):
    """A change of the members, between nodes.

    `raft` is the host:port where the member listens for its peers. It is needed to add a member; without it, a member
    that is replaced keeps its address. `was` is the address that the asked node last knew of the member. It is needed
    when a leader died after it removed the member and before it added it again.
    """

    action: Action
    id: str
    raft: str | None = None
    was: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_change = msgspec.msgpack.Decoder(Change).decode
_decode_members = msgspec.msgpack.Decoder(list[Member]).decode


class Admin:
    def __init__(self, replica: RaftReplica) -> None:
        self._replica = replica
        self._addresses = dict(replica.settings.peers)  # also of members that were seen at an earlier change
        self._changes = LeaderCall(replica, "members", self._on_change, no_leader=NO_LEADER)
        self._transfers = LeaderCall(replica, "transfer", self._on_transfer, no_leader=NO_LEADER)

    def members(self) -> list[dict[str, Any]]:
        return _shown(self._replica.members())

    async def change(self, action: Action, id: str, raft: str | None) -> list[dict[str, Any]]:
        """Change the members. Returns the members after the change.

        Raises `Invalid`, `Conflict`, `NoLeader`, or `OutcomeUnknown`: then the caller has to check the members.
        """
        change = Change(action, id, raft, self._address(id) if action == "replace" else None)
        deadline_s = asyncio.get_running_loop().time() + LEADER_S
        if action != "add" and await self._changes.wait.until_ready(deadline_s) == id:
            await self.transfer()  # a leader does not remove itself
            deadline_s = asyncio.get_running_loop().time() + LEADER_S

        return _shown(
            await self._changes.ask(
                lambda left_s: (_encode(change), REPLACED_S),
                here=lambda: self._change_here(change),
                decode=_listed,
                deadline_s=deadline_s,
            )
        )

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
                return replica.members()  # it was replaced already: this request was sent again
            await replica.change_members(lambda members: members.removing(change.id))
        return list((await replica.change_members(lambda members: members.adding(change.id, raft))).members)

    async def transfer(self) -> str:
        """Hand leadership to the follower that is most caught up. Returns the new leader.

        Raises `NoLeader`, or `OutcomeUnknown` if the same node still leads after a while.
        """
        loop = asyncio.get_running_loop()
        before = await self._transfers.wait.until_ready(loop.time() + LEADER_S)
        if before == self._replica.node_id:
            await self._replica.transfer_leadership()
        else:
            # It does not lead any more, or it fell silent: then another node does, or will soon.
            with contextlib.suppress(NoLeader, OutcomeUnknown):
                await self._transfers.once(before, b"")
        try:
            return await self._transfers.wait.until_ready(loop.time() + HANDED_OVER_S, other_than=before)
        except NoLeader:
            raise OutcomeUnknown(f"{before} still leads: no other node has everything yet; try again") from None

    async def _on_change(self, peer: str, data: bytes) -> bytes:
        return _encode(await self._change_here(_change(data)))

    async def _on_transfer(self, peer: str, data: bytes) -> bytes:
        await self._replica.transfer_leadership()
        return b""


async def _listed(answer: bytes) -> list[Member]:
    return _decode_members(answer)


def _shown(members: list[Member]) -> list[dict[str, Any]]:
    return [{"id": m.id, "raft": m.raft, "voter": m.voter, "incarnation": m.incarnation} for m in members]
