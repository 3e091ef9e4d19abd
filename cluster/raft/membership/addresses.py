"""Where each member may be found: the address in the log, the one that it tells of itself, the one that others tell of
it, and the one in `raft.peers`.

All of them are dialled in turn, so a member that has moved is found as long as one of them is right. None of them is
believed: whoever answers has to prove the member's id, and its incarnation decides what its word counts. The address in
the log is replaced only by the leader, see `address_changes.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from quorate.cluster.raft.members import Member
from quorate.host_port import why_unreachable
from quorate.shown import name
from quorate.words import NAME

HEARSAY_MAX = 100  # peers of which others tell; more than any cluster has


class AddressBook:
    """What this node knows of addresses besides its log. `configured` is `raft.peers`, or what took its place."""

    def __init__(self, configured: Mapping[str, str]) -> None:
        self.configured = configured
        self._told: dict[str, str] = {}
        self._hearsay: dict[str, dict[str, str]] = {}  # peer -> who tells of it -> address

    def hear(self, peer: str, told: str) -> bool:
        """A connected peer says where it listens. Whether that is news; an address that nobody can reach is none."""
        if told == self._told.get(peer) or why_unreachable(told) is not None:
            return False
        self._told[peer] = told
        return True

    def hear_of_others(self, source: str, others: Mapping[str, str]) -> bool:
        """A connected peer says where it finds other members. Whether that is news."""
        news = False
        for peer, address in others.items():
            if peer == source or why_unreachable(address) is not None or not self._has_place(peer):
                continue
            known = self._hearsay.setdefault(peer, {})
            if address != known.get(source):
                known[source] = address
                news = True
        return news

    def _has_place(self, peer: str) -> bool:
        """Whether hearsay of this peer is kept. A member that lies may tell of any number of others."""
        return peer in self._hearsay or (len(self._hearsay) < HEARSAY_MAX and re.fullmatch(NAME, peer) is not None)

    def own_word(self, peer: str) -> str:
        """What the peer told last of itself; "" if nothing."""
        return self._told.get(peer, "")

    def candidates(self, peer: str, logged: Iterable[str]) -> tuple[str, ...]:
        """The addresses to dial, in this order: `logged`, the newest of the log first; told; hearsay; configured."""
        told, configured = ([known[peer]] if peer in known else [] for known in (self._told, self.configured))
        every = tuple(dict.fromkeys([*logged, *told, *self._hearsay.get(peer, {}).values(), *configured]))
        # Whoever wrote the log may have checked less than we do. What is no address is not dialled, and told as such.
        return tuple(each for each in every if why_unreachable(each) is None) or tuple(map(_no_address, every))


def _no_address(text: str) -> str:
    """The text as it is told, with a blank, so that nobody can take it for an address."""
    return f"no address: {name(text)}"


def differences(configured: Mapping[str, str], members: Iterable[Member]) -> list[str]:
    """How `raft.peers` differs from the log, one sentence a node.

    Members that `raft.peers` does not name are no difference: they were added later, and the log has their addresses.
    """
    logged = {member.id: member.raft for member in members}
    found = []
    for id, address in sorted(configured.items()):
        if id not in logged:
            found.append(f"{id} at {address} is no member in the log")
        elif logged[id] != address:
            found.append(f"{id} is at {address} here and at {logged[id]} in the log")
    return found
