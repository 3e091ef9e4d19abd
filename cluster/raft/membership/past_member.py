"""Whether a peer that this node's log does not name was a member, or calls itself one.

The log of a node that was away does not name those who joined meanwhile, and one of them may lead. So such a node must
let in peers that it does not know. Whoever has the key could say that it joined. But only who has had the log knows the
secret that stands in it: the key of the hashes of ids, drawn by the first leader. A member shows in its introduction
that it knows it. The log is sent to members alone, so no other node ever learns it.

A node that has no part of the log yet believes what it is told: it has nothing that could be taken from it.
"""

from __future__ import annotations

import hashlib
import hmac

from quorate.cluster.raft.local_state import LocalState
from quorate.cluster.raft.membership.bootstrap import Bootstrap, is_founder
from quorate.cluster.raft.transport.handshake.introduction import Introduction

PROOF_BYTES = 16


class PastMember:
    """`state` has the secret, and the feature level of the cluster."""

    def __init__(self, bootstrap: Bootstrap, state: LocalState) -> None:
        self._bootstrap, self._state = bootstrap, state

    @property
    def known(self) -> tuple[bool, int]:
        """When this changes, peers that were let in have to be looked at again: whether the secret is known here, and
        the feature level."""
        return self.has_secret, self._state.current.level

    @property
    def has_secret(self) -> bool:
        return bool(self._state.current.hash_key)

    def own_proof(self) -> bytes:
        """What this node's introduction shows; b"" as long as it does not know the secret."""
        identity = self._bootstrap.identity
        if not self.has_secret or identity.cluster_id is None:
            return b""
        return self._proof(identity.cluster_id, identity.node_id, identity.incarnation)

    def believes(self, introduction: Introduction) -> bool:
        """Whether the peer says that it is or was a member, and has shown it as far as this node can tell."""
        claimed = introduction.cluster_id
        if claimed is None or not (introduction.member_at or is_founder(introduction)):
            return False
        if not self.has_secret or self._is_too_old(introduction):
            return True
        proof = self._proof(claimed, introduction.node_id, introduction.incarnation)
        return hmac.compare_digest(proof, introduction.proof)

    def _is_too_old(self, introduction: Introduction) -> bool:
        """0.1.0 shows nothing. It can only be in a cluster whose level says so."""
        return introduction.level == 0 and self._state.current.level == 0

    def _proof(self, cluster_id: str, node_id: str, incarnation: str) -> bytes:
        text = "\n".join(("member", cluster_id, node_id, incarnation))
        return hashlib.blake2b(text.encode(), digest_size=PROOF_BYTES, key=self._state.current.hash_key).digest()
