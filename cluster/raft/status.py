"""What a replica tells about itself: the `raft` part of /status. Field names and order are those of the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class ConnectionStatus(msgspec.Struct):
    """The connection to one member."""

    address: str
    open: bool
    heard_ms_ago: int | None
    backlog_bytes: int
    bytes_in: int  # since this node runs, on all connections
    bytes_out: int
    refused: str = ""  # why there is none, or was none until now: what this node or the peer has against the other


class RaftStatus(msgspec.Struct):
    """A replica that has not read its disk yet has the role "starting", and every other field is empty."""

    role: str = "starting"  # then follower, candidate or leader; halted after an error
    term: int = 0
    voter: bool = False
    last_index: int = 0
    synced_index: int = 0
    commit_index: int = 0
    applied_index: int = 0
    first_index: int = 0
    log_bytes: int = 0
    log_memory_bytes: int = 0
    chain: str = ""  # the log's chain value at the applied index, in hex
    election_timeout_ms: int = 0
    leader: str | None = None
    leader_via: str | None = None  # the peer that passes calls on to the leader; None: this node hears the leader
    members: dict[str, str] = {}  # node id -> voter or learner
    cluster_id: str | None = None
    waiting_for: list[str] = []  # founders that this node has not met yet
    other_histories: dict[str, str] = {}  # peers whose committed entries differ from this node's, and why that is known
    stranger_to: str | None = None  # the id of a formed cluster that does not know this node's disk
    forgotten: str | None = None  # the log means another disk than this node's: why, and what to do
    snapshot_index: int = 0
    snapshot_bytes: int = 0
    snapshots_received: int = 0
    links: dict[str, ConnectionStatus] = {}
    refused_connections: int = 0
    clock_jumps_refused: int = 0
    clock_offsets_ms: dict[str, int] = {}  # on the leader: how far each voter's clock is ahead of the majority's
    leader_heard_ms_ago: int = 0  # since a leader's own word came, or this node led; since the start if none did yet
    leader_changes: int = 0  # other leaders or terms that this node has seen since it runs
    leaderless_s: float = 0.0  # how long this node knew no leader since it runs, in all
    elections: int = 0  # that this node has started since it runs
    lag_entries: int = 0  # committed, as far as this node was told, and not applied here
    lag_ms: int = 0  # how long the oldest of them that was noted has been waited for
    feature_level: int = 0  # of the cluster, as this node has applied it
    feature_levels: dict[str, int | None] = {}  # node id -> what its program can do; None: it is not connected

    address_differences: list[str] = []  # how raft.peers differs from the log, in words

    def as_json(self) -> Mapping[str, Any]:
        """The JSON of /status. A replica that is starting shows only its role."""
        shown: Mapping[str, Any] = msgspec.to_builtins(self)
        return {"role": self.role} if self.role == "starting" else shown
