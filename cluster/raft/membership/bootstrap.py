"""How nodes form a cluster, once, and how a node finds out that its disk was emptied.

Every data directory has an incarnation, drawn at random when it is made. Nodes that are asked to form a cluster
(`raft.bootstrap`) wait until one of them is connected with all others. Then the cluster's id is a hash of their ids and
incarnations, and each of them writes it down. From then on any majority is enough. A node whose disk was emptied has
another incarnation. So it cannot make the same cluster id again, and its peers know that this is another disk and tell
it so. It may store copies, but it gives no ballot, because it has forgotten the ballots that it gave (Raft §5.2 needs
that memory).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping

import msgspec

from quorate.cluster.raft.storage.directory import NodeIdentity
from quorate.cluster.raft.transport.handshake.introduction import Introduction

log = logging.getLogger(__name__)


def cluster_id_of(members: Mapping[str, str]) -> str:
    text = "\n".join(f"{node} {incarnation}" for node, incarnation in sorted(members.items()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def is_founder(disk: NodeIdentity | Introduction) -> bool:
    """Whether the disk proves that it founded its cluster. The id of such a cluster is a hash of its founders."""
    founders = disk.members or {}
    return founders.get(disk.node_id) == disk.incarnation and disk.cluster_id == cluster_id_of(founders)


class Bootstrap:
    """Decides from the introductions of peers. After each one, `identity` is what should be on disk."""

    def __init__(self, identity: NodeIdentity, cluster_name: str, expected: set[str]) -> None:
        self.identity = identity
        self.cluster_name = cluster_name
        self.expected = expected  # empty: this node was not asked to form a cluster
        self.stranger_to: str | None = None  # the id of a formed cluster that does not know this incarnation
        self._introduced = {identity.node_id: identity.incarnation}
        self._handshaking: dict[str, tuple[str, str]] = {}  # peer of a formed cluster -> incarnation, cluster id
        self._form_if_complete()

    def expect_members(self, expected: set[str]) -> None:
        """Form a cluster with these nodes. Introductions before this call do not count: peers must come again."""
        self.expected = expected
        self._form_if_complete()

    @property
    def formed(self) -> bool:
        return self.identity.cluster_id is not None

    @property
    def remembers_ballots(self) -> bool:
        """Whether this disk is a founder's, or the one that joined. Asked where the log names no members yet."""
        identity = self.identity
        return self.formed and (identity.members or {}).get(identity.node_id) == identity.incarnation

    def forget(self, incarnation: str) -> None:
        """This disk has forgotten what its node promised: from now on it is another one, as if it had been emptied."""
        self.identity = msgspec.structs.replace(self.identity, incarnation=incarnation)

    def waiting_for(self) -> list[str]:
        """The founders that have not introduced themselves yet."""
        return [] if self.formed else sorted(self.expected - set(self._introduced))

    def introduced(self, peer: str, introduction: Introduction) -> str | None:
        """Learn from a peer's introduction; a reason to refuse it, or None."""
        if introduction.cluster_name != self.cluster_name:
            return f"it belongs to cluster {introduction.cluster_name!r}, this node to {self.cluster_name!r}"
        if introduction.cluster_id is None:
            return None if self.formed else self._introduced_unformed(peer, introduction)
        if self.formed:
            if introduction.cluster_id != self.identity.cluster_id:
                return (
                    f"it was formed as cluster {introduction.cluster_id}, this node as {self.identity.cluster_id}: "
                    "one of the two data directories is another cluster's"
                )
            return None
        return self._introduced_formed(peer, introduction)

    def connection_closed(self, peer: str) -> None:
        """The peer must introduce itself again before the cluster is formed: it may come back with another disk."""
        if not self.formed and peer != self.identity.node_id:
            self._introduced.pop(peer, None)

    def _introduced_unformed(self, peer: str, introduction: Introduction) -> str | None:
        if not self.expected or not introduction.expected:
            return None  # one of the two nodes was not asked to form a cluster
        if set(introduction.expected) != self.expected:
            return (
                f"it wants to form a cluster of {', '.join(sorted(introduction.expected))}, this node one of "
                f"{', '.join(sorted(self.expected))}: give all the same raft.peers"
            )
        self._introduced[peer] = introduction.incarnation
        self._form_if_complete()
        return None

    def _introduced_formed(self, peer: str, introduction: Introduction) -> str | None:
        assert introduction.cluster_id is not None
        members = introduction.members or {}
        mine = self.identity
        if members.get(mine.node_id) == mine.incarnation:
            self._form(introduction.cluster_id, members)
            return None
        self._handshaking[peer] = introduction.incarnation, introduction.cluster_id
        if self.stranger_to is None:
            self.stranger_to = introduction.cluster_id
            known = "knows another incarnation of it" if mine.node_id in members else "does not know it"
            log.warning(
                "the cluster %s is formed and %s: this node's data directory is new, so it gives no ballot. "
                "If the node is new: quorate members add %s HOST:PORT; if its disk was replaced: "
                "quorate members replace %s",
                introduction.cluster_id,
                known,
                mine.node_id,
                mine.node_id,
            )
        return None

    def join(self, members: Mapping[str, str]) -> None:
        """The log says that this incarnation is a voter of a cluster: remember of which one.

        The cluster's id is the one of the peers that the log names. Other peers may belong to an older cluster, from
        before an unsafe recovery.
        """
        if not self.formed:
            ids = {id for peer, (disk, id) in self._handshaking.items() if members.get(peer) == disk}
            if len(ids) == 1:  # otherwise a later introduction decides
                self._form(ids.pop(), members)

    def _form_if_complete(self) -> None:
        if not self.formed and self.expected and set(self._introduced) >= self.expected:
            members = {node: self._introduced[node] for node in self.expected}
            self._form(cluster_id_of(members), members)

    def _form(self, cluster_id: str, members: Mapping[str, str]) -> None:
        self.identity = msgspec.structs.replace(self.identity, cluster_id=cluster_id, members=dict(members))
        self.stranger_to = None
        log.info("cluster %s is formed by %s", cluster_id, ", ".join(sorted(members)))
