"""The metrics of the RESP door. A node that does not serve RESP has none of them."""

from __future__ import annotations

from quorate.http.metrics.metric import Numbers, ShownMetric, of_status


def _each() -> Numbers:
    return lambda found: [((key,), value) for key, value in found.items()] if found else []


RESP = [
    ShownMetric(
        "quorate_resp_votes_total",
        "counter",
        "Votes that came over RESP, by what became of them: applied, duplicate, or why they were rejected",
        of_status("resp.votes", _each()),
        ["outcome"],
    ),
    ShownMetric(
        "quorate_resp_commands_total",
        "counter",
        "Commands that were run, by name; each XADD of a pipeline counts",
        of_status("resp.commands", _each()),
        ["command"],
    ),
    ShownMetric(
        "quorate_resp_errors_total",
        "counter",
        "Replies that were errors, by their first word",
        of_status("resp.failures", _each()),
        ["code"],
    ),
    ShownMetric(
        "quorate_resp_unknown_outcomes_total",
        "counter",
        "Connections that were closed because it was not known whether their votes were counted",
        of_status("resp.unknown_outcomes"),
    ),
    ShownMetric("quorate_resp_connections", "gauge", "Open connections", of_status("resp.connections")),
    ShownMetric(
        "quorate_resp_connections_refused_total",
        "counter",
        "Connections that were refused, because too many were open",
        of_status("resp.refused_connections"),
    ),
    ShownMetric(
        "quorate_resp_protocol_errors_total",
        "counter",
        "Connections that were closed because what came over them was no command",
        of_status("resp.protocol_errors"),
    ),
]
