"""`python -m bench.elsewhere --seed 1`: the table of what etcd, Redis and Quorate lost, doubled or read stale."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.elsewhere.counting import Outcome
from bench.elsewhere.rows import WAYS
from bench.elsewhere.run import run_way
from bench.elsewhere.table import cells, table

NOT_RUN = "Redis, XADD with IDMP: not run. Redis has it from 8.6 on, Debian's is older."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="of the faults and the clients; several are summed")
    parser.add_argument("--seconds", type=float, default=90.0, help="how long things break, for each row and seed")
    parser.add_argument("--rows", default=",".join(way.name for way in WAYS), help="which rows, by name")
    parser.add_argument("--histories", type=Path, help="a folder that keeps the histories, for `quorate check`")
    asked = parser.parse_args()
    names = asked.rows.split(",")
    if unknown := set(names) - {way.name for way in WAYS}:
        parser.error(f"no row is called {', '.join(sorted(unknown))}: there are {', '.join(way.name for way in WAYS)}")
    with tempfile.TemporaryDirectory(prefix="quorate-elsewhere-") as scratch:
        folder: Path = asked.histories or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(_rows(names, asked.seed or [1], asked.seconds, folder))
    return 0


def _rows(names: list[str], seeds: list[int], seconds: float, folder: Path) -> str:
    rows: list[tuple[str, list[Outcome]]] = []
    left_out, versions = [NOT_RUN], []
    for way in (way for way in WAYS if way.name in names):
        if (why := way.missing()) is not None:
            left_out.append(f"{way.about}: not run. {why}.")
            continue
        versions.append(way.version())
        outcomes = []
        for seed in seeds:
            outcomes.append(run_way(way, folder / f"{way.name}-{seed}.ndjson", seed=seed, seconds=seconds))
            said = cells(f"{way.name}, seed {seed}, {outcomes[-1].counted.faults} faults", outcomes[-1:])
            print(" | ".join(said), file=sys.stderr, flush=True)
        rows.append((way.about, outcomes))
    return "\n".join([table(rows) if rows else "", "", *left_out, *dict.fromkeys(versions)])


if __name__ == "__main__":
    sys.exit(main())
