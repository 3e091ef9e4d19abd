"""The table of `bench.run`: a line for each system under one load, of the median round."""

from __future__ import annotations

from collections.abc import Sequence

from bench.systems import Row

HEAD = (
    f"{'workload':12} {'system':8} {'clients':>7} {'median /s':>11} {'lowest to highest':>21} {'ours is':>8}"
    f" {'p50 ms':>8} {'p99 ms':>8} {'servers CPU s':>13} {'client':>7} {'/s of servers':>13} {'of all':>8}  client"
)
ABOUT = """One line is the median of the rounds. "ours is": our rate by this one. CPU seconds are those of the round, of
all servers together and of the client; "/s of servers" and "of all" are votes (or reads) for each such second."""


def median(rounds: Sequence[Row]) -> Row:
    """The round in the middle, by its rate; of an even number the slower of the two."""
    return sorted(rounds, key=lambda row: row.rate)[(len(rounds) - 1) // 2]


def line(rounds: Sequence[Row], ours: Row | None = None) -> str:
    row, rates = median(rounds), [each.rate for each in rounds]
    f = row.figures
    cells = [
        f"{f.workload:12} {row.system:8} {f.clients:7} {row.rate:11,.0f}",
        f"{f'{min(rates):,.0f} to {max(rates):,.0f}':>21}",
        f"{f'{ours.rate / row.rate:.2f} x' if ours and ours is not row and row.rate else '':>8}",
        f"{f.p50_ms:8.2f} {f.p99_ms:8.2f} {row.servers_cpu_s:13.2f} {row.client_cpu_s:7.2f}",
        f"{row.counted / max(row.servers_cpu_s, 0.01):13,.0f} {row.counted / max(row.all_cpu_s, 0.01):8,.0f}",
    ]
    failures = {why: times for each in rounds for why, times in each.figures.failures.items()}
    return " ".join(cells) + f"  {row.client}" + (f"  failures {failures}" if failures else "")
