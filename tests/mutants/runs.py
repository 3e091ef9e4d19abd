"""By which run of `quorate chaos` a mutant is caught, on real processes: the faults, the seconds, and the property."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT

SLACK_S = 240.0  # for starting, mending, settling and checking


@dataclass(frozen=True, slots=True)
class ChaosCatch:
    faults: str
    seconds: int
    properties: str  # a pattern: one of those that are violated

    def is_in(self, verdict: dict[str, Any]) -> bool:
        return verdict["verdict"] == "violated" and any(
            re.fullmatch(self.properties, name) for name in verdict["found"]
        )


RUNS: dict[str, ChaosCatch] = {
    "dedup-by-clock": ChaosCatch("kill-leader,pause-leader", 15, "resends|counted_once"),
    "session-floor-lost": ChaosCatch("kill-follower", 15, "sessions"),
    "old-epoch-counts": ChaosCatch("kill-follower", 20, "sessions"),
    "votes-after-the-close": ChaosCatch("none", 6, "closing"),
    "closing-by-the-local-clock": ChaosCatch("kill-one", 20, "agreement|reads|closing"),
    "duplicate-answered-before-commit": ChaosCatch("kill-leader", 12, "real_time|counted_once|resends"),
    "redis-retry-counts-again": ChaosCatch("none", 6, "counted_once|reads|sinks"),
    "redis-unknown-told-as-refused": ChaosCatch("kill-leader,pause-leader", 20, "counted_once|reads|sinks"),
    "follower-answers-linearizable": ChaosCatch("pause-follower,kill-follower", 12, "real_time"),
    "read-from-the-future": ChaosCatch("kill-follower", 10, "real_time|reads"),
    "min-version-ignored": ChaosCatch("kill-follower,pause-follower", 15, "real_time"),
    "inc-flush": ChaosCatch("kill-leader", 15, "sinks"),
    "no-fence": ChaosCatch("leader-paused-in-flush", 60, "sinks"),
    "older-totals-under-an-equal-fence": ChaosCatch("kill-follower", 10, "sinks"),
}


def run_chaos(catch: ChaosCatch, mutant: str | None, *, seed: int = 1) -> dict[str, Any]:
    """What `quorate chaos --json` says."""
    flags = ["--faults", catch.faults, "--duration", f"{catch.seconds}s", "--seed", str(seed), "--json"]
    if mutant is not None:
        flags += ["--mutant", mutant]
    with tempfile.TemporaryDirectory(prefix="quorate-mutant-") as folder:
        history = Path(folder) / "history.ndjson"
        command = [sys.executable, "-P", "-m", "quorate", "chaos", "--history", str(history), *flags]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": folder, "HOME": folder},
            capture_output=True,
            text=True,
            timeout=catch.seconds + SLACK_S,
        )
    if done.returncode not in (0, 1, 5):
        raise RuntimeError(done.stderr)
    verdict: dict[str, Any] = json.loads(done.stdout)
    return verdict
