"""Finds out that a peer has another history: that its log differs from ours where both are committed.

All nodes of a cluster have the same committed entries. A copy of a data folder that went on alone does not, and neither
Raft's terms nor the id of the cluster may tell: the copy has the same id, and its own entries may have the terms and
indexes of ours. The chain of the log tells. Each node says in its introductions up to which index its log is committed,
and its chain value there. Whichever of two peers still holds the other's index compares. Tails are never compared,
because what is not committed may differ.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.line_limit import LineLimit
from quorate.cluster.raft.log_point import held_point
from quorate.cluster.raft.transport.handshake.introduction import Introduction

OTHER_HISTORY = "has another history"  # part of every message that refuses a peer for this

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Other:
    """A disk with another history, and the words for it. `found` says that this node has compared."""

    incarnation: str
    words: str
    found: bool


class Histories:
    """The peers that have another history than this node. Such a peer is refused until it comes with another disk."""

    def __init__(self, node_id: str, engine: Engine) -> None:
        self._node_id, self._engine = node_id, engine
        self._others: dict[str, _Other] = {}
        self._lines = LineLimit()

    def refusal(self, introduction: Introduction, cluster_id: str | None) -> str | None:
        """The reason to refuse a member of this cluster whose history is another one, or None."""
        peer, disk = introduction.node_id, introduction.incarnation
        if peer in self._others and self._others[peer].incarnation != disk:
            del self._others[peer]
        if introduction.cluster_id not in (None, cluster_id):
            return None  # it is refused as a member of another cluster
        equal = self._compare(introduction)
        if equal:
            self._others.pop(peer, None)
        elif equal is not None:
            self._differs(peer, disk, introduction.committed)
        other = self._others.get(peer)
        return other.words if other is not None and other.found else None

    def _compare(self, introduction: Introduction) -> bool | None:
        """Whether both logs are equal up to the peer's committed index; None if this node cannot tell."""
        point = held_point(self._engine, introduction.committed) if introduction.chain else None
        return None if point is None else point.chain == introduction.chain

    def _differs(self, peer: str, disk: str, index: int) -> None:
        if peer in self._others and self._others[peer].found:
            return
        words = (
            f"{peer} {OTHER_HISTORY} than {self._node_id}: their logs differ at or before index {index}, which both "
            "call committed. One of the two data folders is a copy that went on alone. Find out which one has the "
            "votes that count, empty the other one, and put it in its place again: quorate members replace NODE"
        )
        self._others[peer] = _Other(disk, words, found=True)
        self._tell(words)

    def refused(self, peer: str, disk: str, why: str) -> None:
        """A member refuses this node. If it has found another history, this node shows that, too."""
        if OTHER_HISTORY in why and peer not in self._others:
            self._others[peer] = _Other(disk, f"{peer} says: {why}", found=False)
            self._tell(f"{peer} refuses this node: {why}")

    def _tell(self, words: str) -> None:
        if (more := self._lines.allow(monotonic_s())) is not None:
            log.error("%s%s", words, more)

    def has_other(self, peer: str) -> bool:
        """Whether this node has found out that the peer has another history."""
        return peer in self._others and self._others[peer].found

    def others(self) -> dict[str, str]:
        """Each peer with another history, and what is known of it, in words."""
        return {peer: other.words for peer, other in sorted(self._others.items())}
