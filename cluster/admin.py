"""What operators ask of a cluster: change its members, and hand leadership over. Any node takes the request, and the
leader does it (see `leader_call.py`).

To replace a member is to remove it and to add it again as a learner. These are two entries of the log, because a new
disk makes another member, even under the same name (see `bootstrap.py`). It makes the old disk useless, so it is done
only if the new one answers. A change is done as it was said, or refused in words.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from quorate.cluster.raft.line_limit import LineLimit
from quorate.cluster.raft.members import Member, Members
from quorate.cluster.raft.membership.address_changes import SEEK_S
from quorate.cluster.raft.membership.membership import CHANGE_S
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.submit.leader_call import LeaderCall
from quorate.errors import Conflict, Invalid, NoLeader, OutcomeUnknown, Overloaded
from quorate.host_port import why_unreachable
from quorate.words import NAME, Action

LEADER_S = 5.0  # how long to wait for a leader
HANDED_OVER_S = 5.0  # how long to wait for another leader
NO_LEADER = "no leader is known: a majority of the nodes must be up and connected"
# How long the leader's answer may take: two changes, a member that is looked for, and the way there and back.
REPLACED_S = 2 * CHANGE_S + SEEK_S + 1.0
# So many hand-overs and changes of the members a node may ask for at once, and then one in so many seconds.
TRANSFERS, TRANSFER_EVERY_S = 4, 30.0
CHANGES, CHANGE_EVERY_S = 16, 5.0
UPDATE_LEVEL = 1  # a leader of 0.1.0 does not know the action


class Change(msgspec.Struct, array_like=True):
    """A change of the members, between nodes.

    `raft` is the host:port where the member listens for its peers. It is needed to add a member or to update it.
    Without it, a member that is replaced keeps its address. `was` is the address that the asked node last knew of the
    member. It is needed when a leader died after it removed the member and before it added it again. `lost` is the
    incarnation that is to be replaced, if the client told it.
    """

    action: Action
    id: str
    raft: str | None = None
    was: str | None = None
    lost: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_change = msgspec.msgpack.Decoder(Change).decode
_decode_members = msgspec.msgpack.Decoder(list[Member]).decode


class Admin:
    def __init__(self, replica: RaftReplica) -> None:
        self._replica = replica
        self._addresses = dict(replica.settings.peers)  # also of members that were seen at an earlier change
        self._changes = LeaderCall(replica, "members", self._on_change, no_leader=NO_LEADER)
        self._transfers = LeaderCall(replica, "transfer", self._on_transfer, no_leader=NO_LEADER)
        self._asked: dict[tuple[str, str], LineLimit] = {}
        self._lists = LeaderCall(replica, "list-members", self._on_list, no_leader=NO_LEADER, changes_nothing=True)

    async def members(self) -> list[dict[str, Any]]:
        """The members, by this node's log. If it does not hear the leader, its log is behind: then by the leader's."""
        if self._replica.leader_via is None:
            return _shown(self._replica.members())
        found = await self._lists.ask(
            lambda left_s: (b"", left_s),
            here=self._list_here,
            decode=_listed,
            deadline_s=asyncio.get_running_loop().time() + LEADER_S,
        )
        return _shown(found)

    async def _list_here(self) -> list[Member]:
        return self._replica.members()

    async def change(self, action: Action, id: str, raft: str | None, lost: str | None = None) -> list[dict[str, Any]]:
        """Change the members. Returns the members after the change.

        Raises `Invalid`, `Conflict`, `NoLeader`, or `OutcomeUnknown`: then the caller has to check the members.
        """
        change = Change(action, id, raft, None if action == "add" else self._address(id), lost)
        self._check(change)
        deadline_s = asyncio.get_running_loop().time() + LEADER_S
        if action in ("remove", "replace") and await self._changes.wait.until_ready(deadline_s) == id:
            await self._check_leader_is_lost(change)
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

    def _check(self, change: Change) -> None:
        """Raises `Invalid` or `NeedsLevel`."""
        if change.raft is not None and (why := why_unreachable(change.raft)) is not None:
            raise Invalid(why)
        if change.action == "add":
            _check_name(change.id)
        if change.action == "update":
            if change.raft is None:
                raise Invalid(f"where does {change.id} listen for its peers now? give its address, host:port")
            self._replica.require_level(UPDATE_LEVEL, "quorate members update")

    def _address(self, id: str) -> str | None:
        self._addresses |= {member.id: member.raft for member in self._replica.members()}
        return self._addresses.get(id)

    async def _change_here(self, change: Change) -> list[Member]:
        known = {member.id: member for member in self._replica.members()}.get(change.id)
        if known is None and change.action != "add" and change.was is None:
            names = ", ".join(member.id for member in self._replica.members())
            raise Invalid(f"{change.id} is no member of this cluster; there are {names}")
        match change.action:
            case "remove":
                certificate = self._replica.transport.certificate_of(change.id)
                return await self._apply(lambda members: members.removing(change.id, certificate))
            case "update":
                return await self._update(known, change)
            case "replace" if known is not None:
                return await self._replace(known, change)
        raft = change.raft or change.was
        if raft is None:
            raise Invalid(f"where does {change.id} listen for its peers? give its address, host:port")
        _check_name(change.id)
        if (why := why_unreachable(raft)) is not None:
            raise Invalid(why)
        return await self._apply(lambda members: members.adding(change.id, raft))

    async def _apply(self, make: Callable[[Members], Members]) -> list[Member]:
        return list((await self._replica.change_members(make)).members)

    async def _update(self, known: Member | None, change: Change) -> list[Member]:
        """The same disk at another address, if it answers there. Its own word outranks the operator's."""
        raft = change.raft
        assert raft is not None
        if known is None:
            raise Invalid(f"{change.id} is no member of this cluster now")
        if known.raft == raft:
            return self._replica.members()
        addresses = self._replica.addresses
        told = addresses.told(known)
        if told not in ("", raft) and await addresses.why_not_at(known, told) is None:
            raise Conflict(
                f"{known.id} itself says that it is at {told}, and answers there: give it another raft.advertise (or "
                "entry in its own raft.peers) and start it again; then the log follows by itself"
            )
        if (why := await addresses.seek(known, raft)) is not None:
            raise Conflict(f"{why}; the log keeps {known.raft}. Start {known.id} at {raft}, on the disk that it has")
        return await self._apply(lambda members: members.moving({known.id: raft}))

    async def _check_leader_is_lost(self, change: Change) -> None:
        """Raises `Conflict` before leadership is handed over, if the leader's disk is not to be replaced.

        The next leader looks again. It alone does where this node does not hear the leader.
        """
        known = {member.id: member for member in self._replica.members()}.get(change.id)
        if change.action != "replace" or known is None or self._replica.leader_via is not None:
            return
        if not _is_replaced(known, change):
            await self._check_lost(known, change.raft or known.raft)

    async def _replace(self, known: Member, change: Change) -> list[Member]:
        raft = change.raft or known.raft
        if _is_replaced(known, change):
            return await self._apply(lambda members: members.moving({known.id: raft}))
        await self._check_lost(known, raft)
        Members(tuple(self._replica.members())).removing(known.id).adding(
            known.id, raft
        )  # raises before a half is done
        await self._apply(lambda members: members.removing(known.id))
        return await self._apply(lambda members: members.adding(known.id, raft))

    async def _check_lost(self, known: Member, raft: str) -> None:
        """Raises `Conflict` unless a node of this id with another disk answers, at `raft` if that is another address.

        Otherwise a good disk may become useless.
        """
        addresses = self._replica.addresses
        is_here = known.id == self._replica.node_id
        found = known.incarnation if is_here else addresses.connected_incarnation(known.id)
        if found != known.incarnation and (found is None or raft != known.raft):
            found = await addresses.incarnation_at(raft, known.id)
        if found is None and raft != known.raft:  # has it not moved at all?
            found = (
                known.incarnation if await addresses.incarnation_at(known.raft, known.id) == known.incarnation else None
            )
        if found is None:
            raise Conflict(
                f"{known.id} does not answer at {raft}, and its disk may be good: start it on a new, empty data folder "
                f"first. If it is gone for ever: quorate members remove {known.id}, and quorate members add later"
            )
        if found == known.incarnation:
            raise Conflict(
                f"{known.id} has the disk that the log means, so there is none to replace. If it has moved, it tells "
                f"its address itself; if not: quorate members update {known.id} --address HOST:PORT"
            )

    async def transfer(self) -> str:
        """Hand leadership to the follower that is most caught up. Returns the new leader.

        Raises `NoLeader`, `Conflict`, or `OutcomeUnknown` if the same node still leads after a while.
        """
        loop = asyncio.get_running_loop()
        before = await self._transfers.wait.until_ready(loop.time() + LEADER_S)
        if {member.id for member in self._replica.members() if member.voter} == {before}:
            raise Conflict(
                f"{before} leads and is the only voter, so nobody else can lead. Another one joins by: quorate members "
                "add ID HOST:PORT"
            )
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
        self._allow(peer, "for changes of the members", CHANGES, CHANGE_EVERY_S)
        change = _change(data)
        self._check(change)
        return _encode(await self._change_here(change))

    async def _on_list(self, peer: str, data: bytes) -> bytes:
        return _encode(self._replica.members())

    async def _on_transfer(self, peer: str, data: bytes) -> bytes:
        self._allow(peer, "to hand leadership over", TRANSFERS, TRANSFER_EVERY_S)
        await self._replica.transfer_leadership()
        return b""

    def _allow(self, peer: str, what: str, at_once: int, every_s: float) -> None:
        """Raises `Overloaded`: a member that lies could ask without end, and nobody would lead for long."""
        limit = self._asked.setdefault((peer, what), LineLimit(at_once, every_s))
        if limit.allow(asyncio.get_running_loop().time()) is None:
            raise Overloaded(f"{peer} asked {what} too often in a row; try again in {every_s:.0f} s")


def _is_replaced(known: Member, change: Change) -> bool:
    """Whether the disk was replaced already: this request was sent again."""
    return not known.voter or change.lost not in (None, known.incarnation)


def _check_name(id: str) -> None:
    if not re.fullmatch(NAME, id):
        raise Invalid(f"{id[:100]!r} is no name of a node (letters, digits, '.', '_' and '-', at most 64)")


async def _listed(answer: bytes) -> list[Member]:
    return _decode_members(answer)


def _shown(members: list[Member]) -> list[dict[str, Any]]:
    return [{"id": m.id, "raft": m.raft, "voter": m.voter, "incarnation": m.incarnation} for m in members]
