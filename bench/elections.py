"""Measures election timeouts: false elections under full load, and the time without writes after a leader is lost.

    python -m bench.elections [--timeouts-ms 300,500,1000,2000] [--minutes 10] [--kills 20] [--silences 20]

For each value of `raft.election_timeout_ms` there is a new cluster of three nodes. It is under full load for --minutes,
as in `bench.run --only steady`. Then its leaders are killed, and then paused, as in `bench.run --only failover`. The
output is a table in Markdown. Each row is printed as soon as it is measured. A cell says so if its value could not be
measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import quorate
from bench import failover, gaps, steady
from bench.run import cpu_name
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import EndedAtStart
from quorate.processes.waiting import NeverHappened

COLUMNS = (
    "T, ms",
    "elections under load",
    "votes/s",
    "p50, p99, max of a vote, ms",
    "kill -9: p50, p99, max, s",
    "silence: p50, p99, max, s",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timeouts-ms", default="300,500,1000,2000", help="divided by commas")
    parser.add_argument("--minutes", type=float, default=10.0, help="of full load")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--silences", type=int, default=20)
    parser.add_argument("--warm-up", type=float, default=1.5)
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    args = parser.parse_args()
    timeouts_ms = [int(word) for word in args.timeouts_ms.split(",")]
    print(settings(args) + "\n")
    print_row(COLUMNS)
    print_row(["---"] * len(COLUMNS))
    for timeout_ms in timeouts_ms:
        with tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder) as folder:
            print_row([f"{timeout_ms:,}", *measured(timeout_ms, args, Path(folder))])


def measured(timeout_ms: int, args: argparse.Namespace, folder: Path) -> list[str]:
    """The cells of a row. If the cluster does not recover within half a minute, the last cell says so."""
    cells: list[str] = []
    try:
        settings = {"flush.interval_ms": 1000, "raft.election_timeout_ms": timeout_ms}
        with FreshCluster(folder, settings=settings) as cluster:
            with cluster.client() as client:
                client.create_poll("bench", ["happy", "sad"])
            cells += under_load(cluster, args)
            for times, silent in ((args.kills, False), (args.silences, True)):
                cells.append(in_cell(failover.gaps_s(cluster, times, silent=silent)))
    except (NeverHappened, EndedAtStart, TimeoutError) as error:
        cells += [(str(error) or "no write within the deadline").splitlines()[0]]
    return cells + [""] * (len(COLUMNS) - 1 - len(cells))


def under_load(cluster: FreshCluster, args: argparse.Namespace) -> list[str]:
    seen = steady.full_load(cluster, args.minutes, warm_up_s=args.warm_up)
    figures = seen.row.figures
    failures = f" (failures {figures.failures})" if figures.failures else ""
    return [
        f"{seen.elections}{failures}",
        f"{figures.votes_per_s:,.0f}",
        f"{figures.p50_ms:.0f}, {figures.p99_ms:.0f}, {figures.max_ms:,.0f}",
    ]


def in_cell(gaps_s: Sequence[float]) -> str:
    if not gaps_s:
        return "not measured"
    return ", ".join(f"{gaps.percentile_s(gaps_s, share):.2f}" for share in (0.5, 0.99, 1.0)) + f" ({len(gaps_s)})"


def print_row(cells: Sequence[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def settings(args: argparse.Namespace) -> str:
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}: Quorate {quorate.__version__}, {system}; {os.cpu_count()} cores "
        f"({cpu_name()}) for three nodes and the client; load before {load}. A new cluster for each T; "
        f"{steady.CLIENTS} clients with a vote a request for {args.minutes:g} minutes after {args.warm_up:g} s of "
        f"warm-up, then {args.kills} kills and {args.silences} silences of the leader, to the next accepted vote."
    )


if __name__ == "__main__":
    main()
