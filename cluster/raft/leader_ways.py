"""The ways from this node to the leader: the direct one while it hears the leader, otherwise one over a peer.

What a peer tells (`told_leader.py`) and passes on (`relay.py`) is for requests alone. The engine knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from quorate.cluster.raft.engine.elections import LEADER
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.leader_watch import Sight
from quorate.cluster.raft.relay import Relay
from quorate.cluster.raft.told_leader import Heard, ToldLeader, Way
from quorate.cluster.raft.transport.transport import PeerTransport

RELAY_LEVEL = 1  # nodes of 0.1.0 neither tell whom they hear nor pass calls on


class LeaderWays:
    """Ticked by the replica. `level` is the feature level of the cluster.

    `http` has the HTTP addresses of the peers that have introduced themselves, and changes. These peers may be asked if
    they are connected. This node's log may not name them: they became members after it was cut off.
    """

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        transport: PeerTransport,
        *,
        level: Callable[[], int],
        http: Mapping[str, str],
    ) -> None:
        self._node_id, self._engine, self._transport, self._level = node_id, engine, transport, level
        self._http = http
        self._told = ToldLeader(node_id, engine.timing.election_s, transport, hears=self._hears, peers=http.keys)
        self._relay = Relay(node_id, transport, hears=self._hears)

    def tick(self, now_s: float) -> Sight:
        near = self._near
        self._told.tick(now_s, needed=near is None and self._level() >= RELAY_LEVEL)
        if (way := self._told.way) is not None:
            return Sight(way.leader, way.term, now_s - way.heard_s, way.via)
        return Sight(near, self._engine.term_now, self._silent_s)

    def stop(self) -> None:
        """Ask nobody any more. Idempotent."""
        self._told.stop()

    # ---- the leader -------------------------------------------------------------------------------------------------

    @property
    def _near(self) -> str | None:
        """The leader that this node believes in and is connected with; it may be this node itself."""
        leader = self._engine.believed_leader
        reached = leader == self._node_id or (leader is not None and self._transport.is_open(leader))
        return leader if reached else None

    @property
    def _way(self) -> Way | None:
        """The way over a peer; None while this node hears the leader itself, or knows none."""
        return None if self._near is not None else self._told.way

    @property
    def leader(self) -> str | None:
        """The leader that this node can reach, maybe over a peer."""
        near = self._near  # looked at once: each answer names the leader
        if near is not None:
            return near
        way = self._told.way
        return None if way is None else way.leader

    @property
    def via(self) -> str | None:
        """The peer that passes calls on to the leader; None if this node hears the leader, or knows none."""
        way = self._way
        return None if way is None else way.via

    @property
    def http(self) -> Mapping[str, str]:
        """The HTTP addresses of the peers. That of a leader which is not heard is told by the peer that hears it."""
        way = self._way
        return dict(self._http) if way is None or not way.http else {**self._http, way.leader: way.http}

    def call(self, leader: str, kind: str, body: bytes, *, timeout_s: float | None) -> Awaitable[bytes]:
        """See `Replica.call_leader`."""
        way = self._way
        if way is None or way.leader != leader:
            return self._transport.begin_call(leader, kind, body, timeout_s=timeout_s)
        return self._relay.call(way, kind, body, timeout_s)

    # ---- for peers --------------------------------------------------------------------------------------------------

    def _hears(self) -> Heard | None:
        """The leader that this node can speak for: one that it hears itself, or that it is and may answer as."""
        leader = self._near
        if leader is None or (leader == self._node_id and not self._engine.leads_its_term):
            return None
        return Heard(leader, self._engine.term_now, self._silent_s, self._http.get(leader, ""))

    @property
    def _silent_s(self) -> float:
        return 0.0 if self._engine.role == LEADER else self._engine.silence_ms / 1000
