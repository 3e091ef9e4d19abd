"""A long run of the tests in `test_kills.py`: many votes, many faults, and the proof that the tally is exact.

    python -m tests.system.long_run [--fault kill] [--votes 200000] [--times 3] [--runs 1] [--seed N]

There is one fault at a time, at a random moment, in a cluster that is whole. The clients go on until the last fault is
over, so `--votes` is the least number of votes. For each fault, the time to the next accepted write is printed, as the
clients measured it: until the first accepted vote of those that were sent after the fault. Each run has a new cluster
and a seed of its own, which is printed. If a run fails, the folder with all logs is kept.

The fault kill-all is `kill -9` of all nodes at once. The fault power does the same, and what no node has synced is
lost. The series that the documents show, 50 kills of the leader under load, is `--fault kill --times 50`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from bench import gaps
from quorate.processes.node import EndedAtStart
from tests.support.cluster import Cluster
from tests.support.verdict import assert_exact
from tests.support.waiting import NeverHappened
from tests.system.faults import FAULTS, OPTIONS, powerless, vote_through


def run(fault: str, votes: int, times: int, seed: int, folder: Path) -> None:
    started_s = time.monotonic()
    print(f"{fault}, seed {seed}: {votes:,} votes, 3 % of them twice, {times} faults ...", flush=True)
    with powerless(folder, seed) if fault == "power" else Cluster(folder) as cluster, cluster.client() as client:
        client.create_poll("mood", OPTIONS)
        history, gaps_s = vote_through(cluster, FAULTS[fault], count=votes, times=times, seed=seed)
        voted_s = time.monotonic() - started_s
        print(f"  to the next accepted write, as the clients saw it: {gaps.in_words(gaps_s)}", flush=True)
        print("  one by one, s: " + " ".join(f"{gap_s:.2f}" for gap_s in gaps_s), flush=True)
        assert_exact(cluster, "mood", history)
    print(f"  exact in all nodes and SQLite: {len(history.votes):,} votes in {voted_s:.1f} s, {dict(history.attempts)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", choices=FAULTS, default="kill")
    parser.add_argument("--votes", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    args = parser.parse_args()
    for seed in range(args.seed, args.seed + args.runs):
        folder = Path(tempfile.mkdtemp(prefix="quorate-long-run-"))
        try:
            run(args.fault, args.votes, args.times, seed, folder)
        except (AssertionError, NeverHappened, EndedAtStart) as error:
            why = str(error) or traceback.format_exc(limit=-1)
            print(f"FAILED (seed {seed}, logs in {folder}): {why}", file=sys.stderr)
            return 1
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
