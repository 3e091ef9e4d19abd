"""Every metric of a node but those of its process, which the Prometheus client itself makes (`process_…`)."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from typing import Any

from quorate import __version__
from quorate.http.metrics.http_table import HTTP
from quorate.http.metrics.metric import Sample, ShownMetric, Take, how_many, is_given, of_status, one_of
from quorate.http.metrics.observation import Observation
from quorate.http.metrics.raft_table import MS, RAFT
from quorate.http.metrics.resp_table import RESP

SINK_PHASES = ("idle", "starting", "flushing", "retrying", "foreign", "outranked", "stopped")


def _build(observed: Observation) -> list[Sample]:
    return [((__version__, platform.python_version()), 1)]


def _node(observed: Observation) -> list[Sample]:
    status = observed.status
    if "node" not in status or "state" not in status:
        return []
    return [((status["node"], "" if observed.is_stranger else status["state"]["cluster_id"]), 1)]


def _disk(field: str) -> Take:
    """Of the disk with the node's folder. Read on the thread that renders: a network disk may not answer."""

    def take(observed: Observation) -> list[Sample]:
        folder = observed.status.get("config", {}).get("node", {}).get("data")
        if folder is None:
            return []
        try:
            found = os.statvfs(folder)
        except OSError:
            return []
        return [((), getattr(found, field) * found.f_frsize)]

    return take


def _flushes(observed: Observation) -> list[Sample]:
    return [((sink,), found) for sink, found in observed.measures.flushes.items()]


def _outcomes(source: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], float]]:
    yield ("applied",), source.get("applied", 0)
    yield ("duplicate",), source.get("duplicates", 0)
    for reason, votes in source.get("rejected", {}).items():
        yield (reason,), votes


NODE = [
    ShownMetric(
        "quorate_build_info", "gauge", "Always 1: the version of Quorate and of Python", _build, ["version", "python"]
    ),
    ShownMetric(
        "quorate_node_info",
        "gauge",
        "Always 1: the node's name and its cluster's id, which strangers are not told",
        _node,
        ["node", "cluster_id"],
    ),
    ShownMetric("quorate_uptime_seconds", "gauge", "Since the node was started", of_status("uptime_s")),
    ShownMetric(
        "quorate_disk_free_bytes",
        "gauge",
        "What the disk with the node's folder has left for this user",
        _disk("f_bavail"),
    ),
    ShownMetric("quorate_disk_size_bytes", "gauge", "The size of the disk with the node's folder", _disk("f_blocks")),
    ShownMetric(
        "quorate_history_recording",
        "gauge",
        "Whether polls' histories are recorded now: this node knows what is counted, and can write it",
        of_status("history.recording"),
    ),
    ShownMetric(
        "quorate_history_file_bytes",
        "gauge",
        "The file of the polls' histories, with what is not yet in its place there",
        of_status("history.bytes"),
    ),
]

STATE = [
    ShownMetric(
        "quorate_state_version", "gauge", "The version of what is counted: the entries applied", of_status("version")
    ),
    ShownMetric(
        "quorate_state_generation",
        "gauge",
        "Grows when a sink is taken over: all documents are written anew",
        of_status("state.generation"),
    ),
    ShownMetric(
        "quorate_state_time_seconds",
        "gauge",
        "The cluster's own time, which closes polls, since 1970",
        of_status("state.time_ms", scale=MS),
    ),
    ShownMetric("quorate_state_polls", "gauge", "Polls", of_status("state.polls")),
    ShownMetric("quorate_state_polls_limit", "gauge", "How many polls there may be", of_status("limits.polls")),
    ShownMetric("quorate_state_options", "gauge", "Options of all polls together", of_status("state.options")),
    ShownMetric("quorate_state_options_limit", "gauge", "How many options there may be", of_status("limits.options")),
    ShownMetric("quorate_state_producers", "gauge", "Producers with a session", of_status("state.producers")),
    ShownMetric(
        "quorate_state_producers_limit", "gauge", "How many producers there may be", of_status("limits.producers")
    ),
    ShownMetric(
        "quorate_state_deleted_polls",
        "gauge",
        "Deleted polls whose names are remembered",
        of_status("state.deleted_polls"),
    ),
    ShownMetric(
        "quorate_state_forgotten_producers",
        "gauge",
        "Forgotten producers whose names are remembered",
        of_status("state.forgotten_producers"),
    ),
    ShownMetric(
        "quorate_dedup_window_ids",
        "gauge",
        "How many accepted vote ids are remembered at least (votes.dedup_window)",
        of_status("state.dedup.size"),
    ),
    ShownMetric(
        "quorate_dedup_held_ids",
        "gauge",
        "Vote ids that are remembered now, at most two windows",
        of_status("state.dedup.held"),
    ),
    ShownMetric("quorate_dedup_accepted_total", "counter", "Vote ids ever accepted", of_status("state.dedup.accepted")),
    ShownMetric(
        "quorate_dedup_memory_bytes",
        "gauge",
        "What the remembered ids take of memory",
        of_status("state.dedup.memory_bytes"),
    ),
    ShownMetric(
        "quorate_dedup_share_held_ids",
        "gauge",
        "Vote ids that are remembered in a token's own share of the window",
        of_status("state.dedup.shares.*"),
        ["share"],
    ),
    ShownMetric(
        "quorate_submit_waiting_bytes",
        "gauge",
        "Votes and commands that wait for their outcome",
        of_status("submit.waiting_bytes"),
    ),
    ShownMetric(
        "quorate_submit_waiting_limit_bytes",
        "gauge",
        "How much may wait before more is refused (votes.queue_bytes)",
        of_status("config.votes.queue_bytes"),
    ),
]

SINKS = [
    ShownMetric(
        "quorate_sink_caught_up",
        "gauge",
        "Whether the sink holds all that was counted; 1 on nodes that do not lead, which do not write",
        of_status("sinks.*.caught_up"),
        ["sink"],
    ),
    ShownMetric(
        "quorate_sink_phase",
        "gauge",
        "1 for the phase that the flush is in now (idle: this node does not lead), 0 for the others",
        of_status("sinks.*.phase", one_of(*SINK_PHASES)),
        ["sink", "phase"],
    ),
    ShownMetric(
        "quorate_sink_flush_seconds",
        "histogram",
        "To write to the sink all that had changed; flushes that failed are not here",
        _flushes,
        ["sink"],
    ),
    ShownMetric(
        "quorate_sink_flushes_total", "counter", "Flushes that succeeded", of_status("sinks.*.flushes"), ["sink"]
    ),
    ShownMetric(
        "quorate_sink_flush_failures_total", "counter", "Flushes that failed", of_status("sinks.*.failures"), ["sink"]
    ),
    ShownMetric(
        "quorate_sink_last_success_seconds",
        "gauge",
        "Since the last flush that succeeded; only on the leader",
        of_status("sinks.*.last_success_age_s"),
        ["sink"],
    ),
    ShownMetric(
        "quorate_sink_lag_versions",
        "gauge",
        "By how many versions the sink is behind; only on the leader",
        of_status("sinks.*.lag_versions"),
        ["sink"],
    ),
    ShownMetric("quorate_sink_pending_polls", "gauge", "Polls to write", of_status("sinks.*.pending_polls"), ["sink"]),
    ShownMetric(
        "quorate_sink_documents_total",
        "counter",
        "Documents that flushes dealt with, by outcome, such as written, same, edited or newer",
        of_status("sinks.*.documents.*"),
        ["sink", "outcome"],
    ),
    ShownMetric(
        "quorate_sink_losses_total",
        "counter",
        "How often the sink had lost what was written to it",
        of_status("sinks.*.deviations.lost"),
        ["sink"],
    ),
    ShownMetric(
        "quorate_sink_deleted_documents",
        "gauge",
        "Documents that were deleted in the sink, and are not brought back",
        of_status("sinks.*.deviations.deleted"),
        ["sink"],
    ),
    ShownMetric(
        "quorate_sink_imported_total",
        "counter",
        "Polls that were put into the sink by hand and imported from there",
        of_status("sinks.*.import.imported"),
        ["sink"],
    ),
    ShownMetric(
        "quorate_sink_import_problems",
        "gauge",
        "Documents that were put into the sink by hand, and cannot be imported",
        of_status("sinks.*.import.problems", how_many),
        ["sink"],
    ),
]


def _source(name: str, kind: Any, text: str, key: str) -> ShownMetric:
    return ShownMetric(f"quorate_source_{name}", kind, text, of_status(f"sources.*.{key}"), ["source"])


SOURCES = [
    ShownMetric(
        "quorate_source_votes_total",
        "counter",
        "Votes that came from the source, by what became of them: applied, duplicate, or why they were rejected",
        of_status("sources.*", _outcomes),
        ["source", "outcome"],
    ),
    _source("messages_total", "counter", "Messages that came", "messages"),
    _source("messages_redelivered_total", "counter", "Messages that came again", "redelivered"),
    _source("messages_requeued_total", "counter", "Messages that were given back", "requeued"),
    _source(
        "messages_deferred_total", "counter", "Messages put off, because nobody knows their option or poll", "deferred"
    ),
    _source(
        "messages_not_deferred_total", "counter", "Messages not put off, because too many others waited", "not_deferred"
    ),
    _source("messages_too_late_total", "counter", "Messages that went to another before they were done", "too_late"),
    _source("messages_poison_total", "counter", "Messages that are no votes", "poison"),
    _source("dead_letters_total", "counter", "Messages put into the dead-letter topic", "dead_letters"),
    _source("connections", "gauge", "Open connections", "connections"),
    _source("depth_messages", "gauge", "Messages that wait there, where that can be asked", "depth"),
    _source("in_flight_messages", "gauge", "Messages that this node holds", "in_flight"),
    _source("in_flight_bytes", "gauge", "The messages that this node holds", "in_flight_bytes"),
    _source("throttled", "gauge", "1 while nothing can be counted, so nothing is taken", "throttled"),
]

CONSUL = [
    ShownMetric(
        "quorate_consul_registered",
        "gauge",
        "Whether the agent of Consul has this node as it is",
        of_status("consul.registered"),
    ),
    ShownMetric(
        "quorate_consul_registrations_total",
        "counter",
        "How often this node was written to the agent of Consul",
        of_status("consul.registrations"),
    ),
    ShownMetric(
        "quorate_consul_failures_total",
        "counter",
        "How often the agent of Consul could not be asked",
        of_status("consul.failures"),
    ),
]

BACKUPS = [
    ShownMetric(
        "quorate_backup_failing",
        "gauge",
        "Whether scheduled backups fail; 0 on nodes that do not lead, which take none",
        of_status("backups.failing_s", is_given),
    ),
    ShownMetric(
        "quorate_backup_last_seconds",
        "gauge",
        "Since the newest scheduled backup; only on the leader",
        of_status("backups.last_age_s"),
    ),
]

GROUPS = {
    "The node": NODE,
    "The replica": RAFT,
    "What is counted": STATE,
    "HTTP": HTTP,
    "RESP": RESP,
    "Sinks": SINKS,
    "Sources": SOURCES,
    "Consul": CONSUL,
    "Backups": BACKUPS,
}
TABLE = [metric for group in GROUPS.values() for metric in group]
