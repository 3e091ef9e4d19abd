"""The feature level of the cluster: what all its nodes can do, as the log has it.

Each node tells the level of its program in its introductions. The leader raises the level of the cluster, by an entry
of its own kind in the log, when every member is connected and has told a higher one. The level never falls. From then
on a node of an older program is refused in words: it could not read what the others may write. What is proposed only
from some level on asks `require` first.
"""

from __future__ import annotations

import logging

from quorate.cluster import entry
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.engine.proposal_outcome import ProposalOutcome
from quorate.cluster.raft.local_state import LocalState
from quorate.cluster.raft.membership.membership import Membership
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.errors import Halted, NeedsLevel, NotReady

log = logging.getLogger(__name__)


class FeatureLevel:
    """The level of the cluster as this node has applied it, and, on the leader, when to raise it."""

    def __init__(self, own: int, node_id: str, engine: Engine, membership: Membership, state: LocalState) -> None:
        self._own, self._node_id = own, node_id
        self._engine, self._membership, self._state = engine, membership, state
        self._raise_open = False
        self._seen = self.now
        if (problem := self._problem()) is not None:
            raise Halted(problem)

    @property
    def now(self) -> int:
        return self._state.current.level

    def _problem(self) -> str | None:
        """In words: the cluster has a higher level than this program, so this node must apply nothing more."""
        if self.now <= self._own:
            return None
        return (
            f"the cluster needs {_version(self.now)} or newer (feature level {self.now}), and this program has level "
            f"{self._own}: run a newer version on {self._node_id}"
        )

    def refusal(self, introduction: Introduction) -> str | None:
        """The reason to refuse a peer whose program is too old for this cluster, or None."""
        if introduction.level >= self.now:
            return None
        peer = introduction.node_id
        return (
            f"{peer} runs {_version(introduction.level)} (feature level {introduction.level}), and this cluster needs "
            f"{_version(self.now)} or newer (level {self.now}): run that on {peer}"
        )

    def told(self) -> dict[str, int | None]:
        """The level of every member; None if the member is not connected."""
        return {**self._membership.told_levels(), self._node_id: self._own}

    def tick(self) -> None:
        """As a leader: raise the level to the lowest of all members, if that is higher."""
        if self._raise_open or not self._engine.may_change_members or not self._state.current.cluster_id:
            return
        levels = [-1 if level is None else level for level in self.told().values()]
        if min(levels) > self.now:
            self._raise_open = True
            if self._engine.propose_level(entry.encode_raise(min(levels)), self._done) is None:
                self._raise_open = False

    def _done(self, result: object, outcome: ProposalOutcome) -> None:
        self._raise_open = False

    def applied(self, *, is_news: bool = True) -> None:
        """An entry or a snapshot may have raised the level. Raises `Halted` if this program has a lower one.

        It is no news if this node knew it before it was started again.

        Connected peers whose programs have a lower one are refused from now on.
        """
        if self.now == self._seen:
            return
        self._seen = self.now
        if (problem := self._problem()) is not None:
            raise Halted(problem)
        # A removal may have made the rise possible. The member that left is told that, and not to run a newer version.
        self._membership.refuse_peers(lambda peer: self._membership.refusal(peer.node_id, peer) or self.refusal(peer))
        if is_news:
            log.info("the cluster has feature level %d now (%s)", self.now, _version(self.now))

    def require(self, level: int, what: str) -> None:
        """Raises `NeedsLevel`, naming the nodes, if the cluster has not reached this level yet.

        If all nodes can do it, the level is about to be raised: `NotReady`, so that clients wait and try again.
        """
        if self.now >= level:
            return
        if not self._state.current.cluster_id:
            raise NotReady("this node has not joined its cluster yet; try again in a moment, or another node")
        lower = [
            f"{id} is not connected" if told is None else f"{id} runs {_version(told)}"
            for id, told in sorted(self.told().items())
            if told is None or told < level
        ]
        needs = f"{what} needs all nodes to run {_version(level)} or newer"
        if not lower:
            raise NotReady(f"{needs}; all do, and the cluster is about to note that: try again in a moment")
        raise NeedsLevel(f"{needs}; {'; '.join(lower)}")


def _version(level: int) -> str:
    return entry.LEVEL_VERSIONS.get(level, f"a version with feature level {level}")
