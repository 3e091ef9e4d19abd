"""The metrics of the replica: elections, the log, links to members, and how long its steps take."""

from __future__ import annotations

from quorate.http.metrics.metric import Sample, ShownMetric, Take, by_value, how_many, is_given, of_status, one_of
from quorate.http.metrics.observation import Observation

MS = 0.001
RAFT_ROLES = ("starting", "follower", "candidate", "leader", "halted")


def _measured(name: str) -> Take:
    def take(observed: Observation) -> list[Sample]:
        found = observed.measures.log.get(name)
        return [] if found is None else [((), found)]

    return take


def _leads(observed: Observation) -> list[Sample]:
    role = observed.status.get("raft", {}).get("role")
    return [] if role is None else [((), role == "leader")]


RAFT = [
    ShownMetric(
        "quorate_raft_role",
        "gauge",
        "1 for the role that the node has now: starting, follower, candidate, leader or halted; 0 for the others",
        of_status("raft.role", one_of(*RAFT_ROLES)),
        ["role"],
    ),
    ShownMetric("quorate_raft_is_leader", "gauge", "Whether the node is the leader of its term", _leads),
    ShownMetric(
        "quorate_raft_has_leader",
        "gauge",
        "Whether the node knows a leader that it reaches, or leads itself",
        of_status("raft.leader", is_given),
    ),
    ShownMetric(
        "quorate_raft_is_voter", "gauge", "Whether the node has a ballot and may lead", of_status("raft.voter")
    ),
    ShownMetric(
        "quorate_raft_members",
        "gauge",
        "Members of the cluster, as this node has them in its log, by kind: voter or learner",
        of_status("raft.members", by_value("voter", "learner")),
        ["kind"],
    ),
    ShownMetric("quorate_raft_term", "gauge", "The term of the node", of_status("raft.term")),
    ShownMetric(
        "quorate_raft_elections_total",
        "counter",
        "Elections that this node has begun since it runs",
        of_status("raft.elections"),
    ),
    ShownMetric(
        "quorate_raft_leader_changes_total",
        "counter",
        "Other leaders, or other terms, that this node has seen since it runs",
        of_status("raft.leader_changes"),
    ),
    ShownMetric(
        "quorate_raft_leaderless_seconds_total",
        "counter",
        "How long this node knew no leader since it runs, in all; its rate is the share of time without votes",
        of_status("raft.leaderless_s"),
    ),
    ShownMetric(
        "quorate_raft_leader_heard_seconds",
        "gauge",
        "How long ago a leader's own word came; 0 on the leader; since the start if none came yet",
        of_status("raft.leader_heard_ms_ago", scale=MS),
    ),
    ShownMetric(
        "quorate_raft_election_timeout_seconds",
        "gauge",
        "The setting raft.election_timeout_ms",
        of_status("raft.election_timeout_ms", scale=MS),
    ),
    ShownMetric(
        "quorate_raft_first_index",
        "gauge",
        "The index before the log's first entry",
        of_status("raft.first_index"),
    ),
    ShownMetric("quorate_raft_last_index", "gauge", "The last index of the log", of_status("raft.last_index")),
    ShownMetric(
        "quorate_raft_synced_index", "gauge", "The last index that is safe on this disk", of_status("raft.synced_index")
    ),
    ShownMetric(
        "quorate_raft_commit_index",
        "gauge",
        "The last index that this node knows to be committed",
        of_status("raft.commit_index"),
    ),
    ShownMetric(
        "quorate_raft_applied_index", "gauge", "The last index that is counted here", of_status("raft.applied_index")
    ),
    ShownMetric(
        "quorate_raft_lag_entries",
        "gauge",
        "Entries that this node knows to be committed and has not counted yet",
        of_status("raft.lag_entries"),
    ),
    ShownMetric(
        "quorate_raft_lag_seconds",
        "gauge",
        "How long the oldest of these entries waits",
        of_status("raft.lag_ms", scale=MS),
    ),
    ShownMetric("quorate_raft_log_bytes", "gauge", "The log on disk", of_status("raft.log_bytes")),
    ShownMetric("quorate_raft_log_memory_bytes", "gauge", "The log in memory", of_status("raft.log_memory_bytes")),
    ShownMetric(
        "quorate_raft_snapshot_bytes", "gauge", "The newest snapshot on disk; 0: none", of_status("raft.snapshot_bytes")
    ),
    ShownMetric(
        "quorate_raft_snapshot_index", "gauge", "The index of the newest snapshot", of_status("raft.snapshot_index")
    ),
    ShownMetric(
        "quorate_raft_snapshots_received_total",
        "counter",
        "Snapshots that a leader sent, and that took the place of this node's state since it runs",
        of_status("raft.snapshots_received"),
    ),
    ShownMetric(
        "quorate_raft_commit_seconds",
        "histogram",
        "On the leader: from the proposal of an entry until a majority has synced it and its results are known",
        _measured("commit"),
    ),
    ShownMetric(
        "quorate_raft_sync_seconds",
        "histogram",
        "To write a group of records of the log and have the disk sync them",
        _measured("sync"),
    ),
    ShownMetric(
        "quorate_raft_apply_seconds", "histogram", "To count an entry in the state machine", _measured("apply")
    ),
    ShownMetric(
        "quorate_raft_entry_bytes",
        "histogram",
        "On the leader: the size of an entry that was committed, which is a batch of votes and commands",
        _measured("entry_bytes"),
    ),
    ShownMetric(
        "quorate_submit_batch_requests",
        "histogram",
        "Requests that came to this node and left in one batch; an entry holds batches of several nodes",
        _measured("batch_requests"),
    ),
    ShownMetric(
        "quorate_raft_peer_open",
        "gauge",
        "Whether this node is connected with that member",
        of_status("raft.links.*.open"),
        ["peer"],
    ),
    ShownMetric(
        "quorate_raft_peer_heard_seconds",
        "gauge",
        "How long ago anything came from that member",
        of_status("raft.links.*.heard_ms_ago", scale=MS),
        ["peer"],
    ),
    ShownMetric(
        "quorate_raft_peer_backlog_bytes",
        "gauge",
        "Bytes for that member that the network has not taken yet",
        of_status("raft.links.*.backlog_bytes"),
        ["peer"],
    ),
    ShownMetric(
        "quorate_raft_peer_received_bytes_total",
        "counter",
        "Bytes that came from that member since this node runs",
        of_status("raft.links.*.bytes_in"),
        ["peer"],
    ),
    ShownMetric(
        "quorate_raft_peer_sent_bytes_total",
        "counter",
        "Bytes that were sent to that member since this node runs",
        of_status("raft.links.*.bytes_out"),
        ["peer"],
    ),
    ShownMetric(
        "quorate_raft_connections_refused_total",
        "counter",
        "Connections from peers that were refused: another key, another cluster, another history",
        of_status("raft.refused_connections"),
    ),
    ShownMetric(
        "quorate_raft_clock_offset_seconds",
        "gauge",
        "On the leader: how far the clock of that voter is ahead of the time that closes polls",
        of_status("raft.clock_offsets_ms.*", scale=MS),
        ["peer"],
    ),
    ShownMetric(
        "quorate_raft_clock_jumps_refused_total",
        "counter",
        "Jumps of a leader's clock that this node did not follow",
        of_status("raft.clock_jumps_refused"),
    ),
    ShownMetric(
        "quorate_raft_other_histories",
        "gauge",
        "Peers whose committed entries differ from this node's: one of them is a copy that went on alone",
        of_status("raft.other_histories", how_many),
    ),
    ShownMetric(
        "quorate_raft_disk_forgotten",
        "gauge",
        "1: this disk lacks what it held before, or is an old copy, so the node has no ballot",
        of_status("raft.forgotten", is_given),
    ),
    ShownMetric(
        "quorate_raft_stranger",
        "gauge",
        "1: a formed cluster does not know this node's disk",
        of_status("raft.stranger_to", is_given),
    ),
    ShownMetric(
        "quorate_raft_awaited_founders",
        "gauge",
        "Founders that this node must meet before the cluster is formed",
        of_status("raft.waiting_for", how_many),
    ),
    ShownMetric(
        "quorate_raft_address_differences",
        "gauge",
        "Members of whom raft.peers and the log say different addresses",
        of_status("raft.address_differences", how_many),
    ),
    ShownMetric(
        "quorate_raft_feature_level", "gauge", "The feature level of the cluster", of_status("raft.feature_level")
    ),
    ShownMetric(
        "quorate_raft_peer_feature_level",
        "gauge",
        "The feature level that the program of that member could take part in; none while it is not connected",
        of_status("raft.feature_levels.*"),
        ["peer"],
    ),
]
