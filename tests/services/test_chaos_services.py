"""`quorate chaos --services` with real servers, as far as they can be had here, which break and lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from quorate.chaos.history import SinkLook, read_history
from quorate.chaos.verdict import judge
from quorate.processes.process import Process

ENDED_S = 240.0


@pytest.mark.timeout(ENDED_S + 60)
def test_a_run_with_servers_that_lie_is_clean(tmp_path: Path) -> None:
    history = tmp_path / "history.ndjson"
    flags = ["--duration", "40s", "--seed", "1", "--faults", "services,kill-leader", "--services"]
    command = [sys.executable, "-P", "-m", "quorate", "chaos", "--history", str(history), *flags]
    process = Process("chaos", command, tmp_path / "chaos.txt", {"TMPDIR": str(tmp_path)})
    try:
        process.start()
        process.ended(ENDED_S)
    finally:
        process.close()
    output = process.output()
    if "MongoDB: " not in output or "Consul: " not in output:
        if os.environ.get("QUORATE_REQUIRE_SERVICES") == "1":
            pytest.fail(output)
        pytest.skip("no MongoDB or no Consul: scripts/services.sh up has them")
    verdict = judge(history)
    assert ("clean", []) == (verdict.verdict, verdict.violations), (verdict.reasons, output)
    sinks = {record.sink for record in read_history(history) if isinstance(record, SinkLook)}
    assert {"sqlite", "mongo"} == sinks
    assert verdict.reached["queued-vote-had-counted"].times > 0
