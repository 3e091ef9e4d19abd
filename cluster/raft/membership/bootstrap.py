"""How nodes become one cluster, once, and how a node knows that it forgot.

Every data directory has an incarnation, drawn at random when it is made. Nodes that are asked to form a cluster
(`raft.bootstrap`) wait until one of them is connected with all others; then the cluster's id is a hash of who they are,
ids and incarnations, and each writes it down. From then on any majority will do. A node whose disk was emptied has
another incarnation: it cannot make the same id again, the others know it is not who it was, and it knows it from them.
It may hold copies, but gives no ballot: it cannot know which ones it gave (Raft §5.2 rests on that memory).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping

import msgspec

from quorate.cluster.raft.storage.directory import NodeIdentity
from quorate.cluster.raft.transport.connection import Introduction

log = logging.getLogger(__name__)


def cluster_id_of(members: Mapping[str, str]) -> str:
    text = "\n".join(f"{node} {incarnation}" for node, incarnation in sorted(members.items()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Bootstrap:
    """Decides from introductions; `identity` is what should be on disk after each."""

    def __init__(self, identity: NodeIdentity, cluster_name: str, expected: set[str]) -> None:
        self.identity = identity
        self.cluster_name = cluster_name
        self.expected = expected  # empty: this node was not asked to form a cluster
        self.stranger_to: str | None = None  # a formed cluster that does not know this incarnation
        self._introduced = {identity.node_id: identity.incarnation}
        self._handshaking: dict[str, tuple[str, str]] = {}  # those of formed clusters: peer -> incarnation, cluster id
        self._form_if_complete()

    def expect_members(self, expected: set[str]) -> None:
        """Form a cluster with these. Nobody was met so far: who expects nobody refuses all."""
        self.expected = expected
        self._form_if_complete()

    @property
    def formed(self) -> bool:
        return self.identity.cluster_id is not None

    def waiting_for(self) -> list[str]:
        """Whom this node has still to meet before it can form the cluster it was asked for."""
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
        """The link broke. It must be met again: it may form the cluster meanwhile, with a disk that is emptied then."""
        if not self.formed and peer != self.identity.node_id:
            self._introduced.pop(peer, None)

    def _introduced_unformed(self, peer: str, introduction: Introduction) -> str | None:
        if not self.expected or not introduction.expected:
            return None  # one of us was not asked to form a cluster, and waits for one
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
                "If the node is new: quorate members add %s; if its disk was replaced: quorate members replace %s",
                introduction.cluster_id,
                known,
                mine.node_id,
                mine.node_id,
            )
        return None

    def join(self, members: Mapping[str, str]) -> None:
        """The log says that this incarnation is a voter of the cluster it was a stranger to: now it remembers.

        Of which one, those tell whom the log names: it may have met others, of a cluster of before a recovery.
        """
        if not self.formed:
            ids = {id for peer, (disk, id) in self._handshaking.items() if members.get(peer) == disk}
            if len(ids) == 1:  # else the next introduction tells
                self._form(ids.pop(), members)

    def _form_if_complete(self) -> None:
        if not self.formed and self.expected and set(self._introduced) >= self.expected:
            members = {node: self._introduced[node] for node in self.expected}
            self._form(cluster_id_of(members), members)

    def _form(self, cluster_id: str, members: Mapping[str, str]) -> None:
        self.identity = msgspec.structs.replace(self.identity, cluster_id=cluster_id, members=dict(members))
        self.stranger_to = None
        log.info("cluster %s is formed by %s", cluster_id, ", ".join(sorted(members)))
