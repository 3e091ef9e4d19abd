"""What this node and its peers tell each other of themselves: what it says, to whom again, and whom it refuses for it.

Whoever comes in has passed the handshake: the key is right. Here it is decided whether a node of that id, disk, history
and program may be a peer of this one.
"""

from __future__ import annotations

from collections.abc import Mapping

from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.environment import ReplicaSettings
from quorate.cluster.raft.members import REMOVED
from quorate.cluster.raft.membership.address_changes import AddressChanges
from quorate.cluster.raft.membership.bootstrap import Bootstrap
from quorate.cluster.raft.membership.feature_level import FeatureLevel
from quorate.cluster.raft.membership.histories import Histories
from quorate.cluster.raft.membership.membership import Membership
from quorate.cluster.raft.membership.past_member import PastMember
from quorate.cluster.raft.membership.peer_memory import PeerMemory
from quorate.cluster.raft.membership.told_removed import ToldRemoved
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.transport import PeerTransport
from quorate.host_port import is_url

RENEW_S = 1.0  # the time between two introductions that only tell of more that is committed or remembered


class Introductions:
    """Made of those parts of a replica that have something to tell, or a reason to refuse a peer."""

    def __init__(
        self,
        settings: ReplicaSettings,
        engine: Engine,
        transport: PeerTransport,
        bootstrap: Bootstrap,
        membership: Membership,
        past: PastMember,
        memory: PeerMemory,
        addresses: AddressChanges,
        level: FeatureLevel,
        histories: Histories,
    ) -> None:
        self._settings, self._engine, self._transport, self._bootstrap = settings, engine, transport, bootstrap
        self._membership, self._past, self._memory, self._addresses = membership, past, memory, addresses
        self._level, self._histories = level, histories
        self.http: dict[str, str] = {}  # the HTTP addresses of the peers that have introduced themselves
        # What peers were told last, and when.
        self._told: tuple[int, int, Mapping[str, str]] = (0, 0, {})
        self._told_s = monotonic_s()
        self._told_removed = ToldRemoved()

    # ---- what this node tells ---------------------------------------------------------------------------------------

    def own(self) -> Introduction:
        """What this node tells its peers of itself now."""
        identity, committed = self._bootstrap.identity, self._engine.commit_index
        return Introduction(
            self._settings.node_id,
            identity.incarnation,
            self._settings.cluster_name,
            identity.cluster_id,
            None if identity.members is None else dict(identity.members),
            sorted(self._bootstrap.expected),
            self._settings.http,
            member_at=self._membership.member_at,
            level=self._settings.feature_level,
            committed=committed,
            chain=self._engine.journal.chain_at(committed),
            remembered=self._memory.to_tell() if self._bootstrap.formed else [],
            raft=self._addresses.own,
            others=dict(self._membership.others),
            proof=self._past.own_proof(),
        )

    def tick(self) -> None:
        """Introduce this node again when what it tells has changed: at once if it is known as a member later than told,
        or finds others elsewhere, and otherwise from time to time. Compare what peers have told with what is committed
        here by now. Raises `Removed`."""
        self._check_not_removed()
        member_at, committed, now_s = self._membership.member_at, self._engine.commit_index, monotonic_s()
        others = self._membership.others
        news = committed != self._told[1] or self._memory.has_news
        due = news and now_s - self._told_s >= RENEW_S
        if due or (member_at, others) != (self._told[0], self._told[2]):
            self._told, self._told_s = (member_at, committed, others), now_s
            cluster_id = self._bootstrap.identity.cluster_id
            self._membership.refuse_peers(lambda introduction: self._histories.refusal(introduction, cluster_id))
            self.tell_all()

    def tell_all(self) -> None:
        """Send the connected peers what this node tells of itself now. When the cluster is formed, some of them may not
        have met every founder."""
        for peer in self.http:
            if self._transport.is_open(peer):
                self._transport.reintroduce(peer)

    # ---- what peers tell --------------------------------------------------------------------------------------------

    def refusal(self, peer: str, introduction: Introduction, replaces: Introduction | None) -> str | None:
        """The reason to refuse a peer that said what it is, or None. A refused peer changes nothing here."""
        other_history = None
        if self._membership.takes_for_member(peer, introduction):  # what a stranger has is of no interest
            other_history = self._histories.refusal(introduction, self._bootstrap.identity.cluster_id)
        return (
            other_history
            or self._membership.refusal(peer, introduction)
            or self._level.refusal(introduction)
            or self._bootstrap.introduced(peer, introduction)
            or self._membership.impostor(introduction, replaces)
        )

    def refuses_certificate(self, fingerprint: str) -> str | None:
        """Whether it is that of a member which was removed. It may still be good for years, and be in other hands."""
        current = self._membership.current
        was = dict(current.refused).get(fingerprint) if current is not None else None
        if was is None:
            return None
        return f"its certificate is the one of {was} from before {was} was taken out: give it another one"

    def accept(self, peer: str, introduction: Introduction, *, again: bool) -> str:
        """Take what the peer told; `again` means on the connection that it has already.

        Returns in words what the peer remembers of this node's disk and is not on it, or "": see `PeerMemory`.
        """
        self._membership.introduced(peer, introduction)
        self.http[peer] = introduction.http if is_url(introduction.http) else ""
        return self._memory.introduced(introduction, again=again)

    def refused(self, peer: str, why: str) -> None:
        """A peer that this node accepts refuses this node. If it says that this node was removed, `tick` decides."""
        self._histories.refused(peer, self._membership.told_incarnation(peer), why)
        # What another history knows of its members does not count here.
        if self._bootstrap.formed and REMOVED in why and not self._histories.has_other(peer):
            self._told_removed.hear(peer, monotonic_s())

    def _check_not_removed(self) -> None:
        """Raises `Removed` if that is what the peers say."""
        if self._engine.leads_its_term:
            self._told_removed.forget()
        if not self._told_removed.is_said:
            return
        others = self._engine.voters() - {self._settings.node_id}
        by = self._told_removed.decide(others, set(filter(self._transport.is_open, self.http)), monotonic_s())
        if by is not None:
            raise self._membership.removed(f"(says {by})")

    def refuse_all(self, why: str) -> None:
        """Close all connections: no peer may say of the new disk what is true of the old one, that it was removed."""
        for peer in list(self.http):
            if self._transport.is_open(peer):
                self._transport.refuse(peer, why)
