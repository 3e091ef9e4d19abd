"""The metrics of the HTTP room: what it was asked, what it answered, and whom it refused."""

from __future__ import annotations

from collections.abc import Callable

from quorate.http.counts import Counts
from quorate.http.metrics.metric import Sample, ShownMetric, Take, of_status
from quorate.http.metrics.observation import Observation

REFUSED_WHY = ("missing", "unknown", "role", "rate")
CERTIFICATES = {"http": "tls", "links": "link_tls"}  # what for -> where /status has it


def _count(read: Callable[[Counts], int]) -> Take:
    return lambda observed: [((), read(observed.counts))]


def _requests(observed: Observation) -> list[Sample]:
    return [((route, str(status)), found) for (route, status), found in list(observed.counts.requests.items())]


def _durations(observed: Observation) -> list[Sample]:
    return [((route,), found) for route, found in list(observed.counts.latencies.items())]


def _votes(observed: Observation) -> list[Sample]:
    counts = observed.counts
    outcomes = {"applied": counts.applied, "duplicate": counts.duplicates, **counts.rejected}
    return [((outcome,), votes) for outcome, votes in outcomes.items()]


def _tls(field: str, scale: float = 1) -> Take:
    parts = {use: of_status(f"{part}.{field}", scale=scale) for use, part in CERTIFICATES.items()}
    return lambda observed: [((use,), found) for use, take in parts.items() for _, found in take(observed)]


def _refused(observed: Observation) -> list[Sample]:
    return [((why,), observed.refused.get(why, 0)) for why in REFUSED_WHY]


def _checks(observed: Observation) -> list[Sample]:
    return [((name,), ready) for name, ready in observed.checks.items()]


def _ready(observed: Observation) -> list[Sample]:
    return [((), all(observed.checks.values()))]


HTTP = [
    ShownMetric("quorate_ready", "gauge", "Whether /readyz answers 200", _ready),
    ShownMetric(
        "quorate_ready_check",
        "gauge",
        "Whether that line of /readyz is good; those about sinks are not here",
        _checks,
        ["check"],
    ),
    ShownMetric(
        "quorate_votes_total",
        "counter",
        "Votes that came over HTTP, by what became of them: applied, duplicate, or why they were rejected",
        _votes,
        ["outcome"],
    ),
    ShownMetric(
        "quorate_http_requests_total",
        "counter",
        "Requests that were answered, by route and status",
        _requests,
        ["route", "status"],
    ),
    ShownMetric(
        "quorate_http_request_duration_seconds",
        "histogram",
        "From the headers of a request to its answer",
        _durations,
        ["route"],
    ),
    ShownMetric("quorate_http_connections", "gauge", "Open connections", _count(lambda c: c.connections)),
    ShownMetric(
        "quorate_http_connections_limit",
        "gauge",
        "How many connections may be open, as the settings and the system have it",
        of_status("limits.connections"),
    ),
    ShownMetric(
        "quorate_http_connections_refused_total",
        "counter",
        "Connections that were refused, because too many were open",
        _count(lambda c: c.refused_connections),
    ),
    ShownMetric(
        "quorate_http_connections_closed_idle_total",
        "counter",
        "Idle connections that were closed to make room for new ones",
        _count(lambda c: c.closed_idle),
    ),
    ShownMetric(
        "quorate_http_connections_broken_off_total",
        "counter",
        "Connections that were broken off, because their clients left too much unread",
        _count(lambda c: c.broken_off),
    ),
    ShownMetric(
        "quorate_http_unreadable_total", "counter", "Requests that were not HTTP", _count(lambda c: c.bad_requests)
    ),
    ShownMetric("quorate_http_event_streams", "gauge", "Open streams of /events", _count(lambda c: c.streams)),
    ShownMetric(
        "quorate_http_event_streams_limit",
        "gauge",
        "How many streams of /events may be open",
        of_status("limits.streams"),
    ),
    ShownMetric("quorate_auth_tokens", "gauge", "Tokens that hold now", of_status("auth.tokens")),
    ShownMetric(
        "quorate_auth_file_good",
        "gauge",
        "0: the file of tokens cannot be taken, so the last good tokens hold",
        of_status("auth.file_good"),
    ),
    ShownMetric(
        "quorate_auth_changes_total",
        "counter",
        "How often other tokens were taken from the file since the node runs",
        of_status("auth.changes"),
    ),
    ShownMetric(
        "quorate_auth_refused_total",
        "counter",
        "Requests refused for their caller: its token is missing or unknown, its role too small, or its rate used up",
        _refused,
        ["reason"],
    ),
    ShownMetric(
        "quorate_tls_certificate_left_seconds",
        "gauge",
        "Until the certificate for HTTPS (http), or for the links between nodes (links), ends; below 0 after that",
        _tls("days_left", scale=86_400),
        ["use"],
    ),
    ShownMetric(
        "quorate_tls_files_good",
        "gauge",
        "0: the files of that certificate cannot be taken, so the one that was read before goes on",
        _tls("files_good"),
        ["use"],
    ),
    ShownMetric(
        "quorate_tls_changes_total",
        "counter",
        "How often another certificate was taken since the node runs",
        _tls("changes"),
        ["use"],
    ),
]
