"""docs/metrics.md, made from the table."""

from __future__ import annotations

from quorate.http.metrics.table import GROUPS

BEGINNING = """\
# Metrics

What `GET /metrics` of every node shows, for Prometheus; `?format=json` has the same as JSON. Where tokens are
configured it needs one with the role `read`. A metric is missing while the node has nothing to say: links before there
are peers, sinks and sources that are not set, and nearly all while the node reads its disk. What to look at first is in
[watching.md](watching.md).

Prometheus' own client adds `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`,
`process_max_fds` and `process_start_time_seconds`, on Linux.

This page is made from the code: `make metrics`.
"""


def page() -> str:
    lines = BEGINNING.splitlines()
    for title, group in GROUPS.items():
        lines += ["", f"## {title}", "", "| metric | kind | labels | what it tells |", "|---|---|---|---|"]
        for metric in group:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"
