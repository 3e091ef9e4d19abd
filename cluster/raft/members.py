"""The members of a cluster: the content of a membership entry of the log, and the changes that are allowed.

Voters give ballots, and their copies count. Learners only receive entries, until they have caught up and are made
voters. One member changes at a time, so that any majority of the old voters and any majority of the new voters have a
node in common (Raft thesis 4.1). A member is an id and an incarnation: a node whose disk was emptied is another member
(see `bootstrap.py`).
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping

import msgspec

from quorate.cluster.raft.messages import MALFORMED
from quorate.errors import Conflict, DataError, Invalid

MEMBERS_MAX = 100  # each change writes them all
REFUSED_MAX = 100  # certificates of removed members; the oldest are forgotten
REMOVED = "removed from the cluster"  # part of every message that tells a node so


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A node as a membership entry names it."""

    id: str
    raft: str  # the host:port at which it listens for its peers
    incarnation: str  # "" for a learner
    voter: bool


class Members(msgspec.Struct, array_like=True, frozen=True):
    """All members. Every change writes them all again, with the reason, for people who read logs.

    A new field goes to the end: 0.1.0 passes over it.
    """

    members: tuple[Member, ...]
    reason: str = ""
    # Certificates that removed members had, as (fingerprint, id): who has one of them is let in under no id.
    refused: tuple[tuple[str, str], ...] = ()

    def get(self, id: str) -> Member | None:
        return next((member for member in self.members if member.id == id), None)

    def voters(self) -> set[str]:
        return {member.id for member in self.members if member.voter}

    def learners(self) -> set[str]:
        return {member.id for member in self.members if not member.voter}

    def addresses(self) -> dict[str, str]:
        return {member.id: member.raft for member in self.members}

    # ---- changes, one at a time -------------------------------------------------------------------------------------

    def adding(self, id: str, raft: str) -> Members:
        """Raises `Conflict` if a member has this id or this address, or if there are too many."""
        if len(self.members) >= MEMBERS_MAX:
            raise Conflict(
                f"there are {MEMBERS_MAX} members, and that is the most. One leaves by: quorate members remove ID"
            )
        for member in self.members:
            if id == member.id:
                raise Conflict(
                    f"{id} at {member.raft} is a member already; to put a new disk in its place: "
                    f"quorate members replace {id}"
                )
            if raft == member.raft:
                raise Conflict(
                    f"{member.id} is at {raft}, by the log. If it has moved, start it: it tells its new address. Or: "
                    f"quorate members update {member.id}. If it is gone for ever: quorate members remove {member.id}"
                )
        return self._with([*self.members, Member(id, raft, "", voter=False)], f"add {id}")

    def removing(self, id: str, certificate: str = "") -> Members:
        """Raises `Invalid` if it is the last voter. A repeated request finds no member and changes nothing.

        `certificate` is the fingerprint of one that is to be refused from now on.
        """
        if self.voters() == {id}:
            raise Invalid(f"{id} is the last voter: a cluster without one could never decide anything again")
        left = self._with([member for member in self.members if member.id != id], f"remove {id}")
        if not certificate or self.get(id) is None:
            return left
        return Members(left.members, left.reason, ((*self.refused, (certificate, id)))[-REFUSED_MAX:])

    def promoting(self, id: str, incarnation: str) -> Members:
        members = [
            Member(id, member.raft, incarnation, voter=True) if member.id == id else member for member in self.members
        ]
        return self._with(members, f"{id} has caught up")

    def moving(self, addresses: Mapping[str, str]) -> Members:
        """The same members, some of them at other addresses."""
        moved = [(member, addresses.get(member.id, member.raft)) for member in self.members]
        reason = ", ".join(f"{member.id} is at {raft}" for member, raft in moved if raft != member.raft)
        return self._with([Member(m.id, raft, m.incarnation, m.voter) for m, raft in moved], reason)

    def _with(self, members: list[Member], reason: str) -> Members:
        return Members(tuple(sorted(members, key=lambda member: member.id)), reason, self.refused)


def founding(addresses: Mapping[str, str], incarnations: Mapping[str, str]) -> Members:
    """The founders of the cluster, all of them voters."""
    return Members(
        tuple(Member(id, raft, incarnations.get(id, ""), voter=True) for id, raft in sorted(addresses.items())),
        "formed",
    )


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Members).decode


def decode(data: bytes) -> Members:
    """Raises `DataError` if the bytes are no members."""
    try:
        return _decode(data)
    except MALFORMED as error:
        raise DataError(f"a membership entry of the log cannot be read: {error}") from error


class MemberEntries:
    """The membership entries of a log, by index. They are cut when the log is cut."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, bytes]] = []

    @property
    def last_index(self) -> int:
        return self._entries[-1][0] if self._entries else 0

    def cut(self, from_index: int) -> None:
        del self._entries[bisect.bisect_left(self._entries, (from_index, b"")) :]

    def add(self, index: int, data: bytes) -> None:
        self._entries.append((index, data))

    def up_to(self, index: int) -> list[tuple[int, bytes]]:
        return self._entries[: bisect.bisect_left(self._entries, (index + 1, b""))]

    def at(self, index: int) -> bytes:
        """The newest entry at or before `index`; b"" if there is none."""
        at = bisect.bisect_left(self._entries, (index + 1, b""))
        return self._entries[at - 1][1] if at else b""
