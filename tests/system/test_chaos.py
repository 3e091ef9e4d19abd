"""`quorate chaos` as people run it: real nodes, real faults, and a verdict on the history."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.chaos.history import Cast, End, Fault, Header
from quorate.chaos.verdict import judge
from quorate.exit_code import INCONCLUSIVE, INTERRUPTED
from tests.support.chaos_process import ChaosProcess
from tests.support.checkout import ROOT
from tests.support.waiting import wait_for

ENDED_S = 110.0


@pytest.fixture
def started() -> Iterator[list[ChaosProcess]]:
    processes: list[ChaosProcess] = []
    yield processes
    for process in processes:
        process.close()


def begin(started: list[ChaosProcess], folder: Path, *flags: str) -> ChaosProcess:
    process = ChaosProcess(folder, *flags)
    started.append(process)
    process.start()
    return process


def is_broken(process: ChaosProcess) -> bool:
    return "broken: " in process.output()


def left_behind(folder: Path) -> list[str]:
    """Command lines of nodes whose settings are below the folder, and that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(folder) in words:
            found.append(words)
    return found


def test_a_short_run_with_faults_is_clean_and_leaves_no_process(tmp_path: Path, started: list[ChaosProcess]) -> None:
    faults = "kill-leader,pause-follower,partition-leader"
    report = tmp_path / "report.html"
    flags = ["--nodes", "3", "--duration", "20s", "--seed", "1", "--faults", faults, "--report", str(report)]
    process = begin(started, tmp_path, *flags)
    process.ended(ENDED_S)
    verdict = judge(process.history)
    assert [] == verdict.violations, process.output()
    assert ("clean", 0) == (verdict.verdict, process.exit_status), (verdict.reasons, process.output())
    records = process.records()
    header, end = records[0], records[-1]
    assert isinstance(header, Header)
    assert isinstance(end, End)
    assert end.settled
    assert set(faults.split(",")) == {record.name for record in records if isinstance(record, Fault)}
    assert {"http", "resp"} <= {each.door for each in records if isinstance(each, Cast) and each.outcome == "ok"}
    assert verdict.checked["reads"]["totals without a version compared"] > 0
    assert verdict.checked["resends"]["answers that may be of a duplicate"] > 0
    assert "Clean" in process.output()
    assert f"report: {report}" in process.output()
    titles = set(re.findall(r"<title>([^<]+)</title><desc", report.read_text()))
    of_time = {"Throughput over time", "Unknown outcomes over time", "Latency over time", "Faults over time"}
    assert {"Node n1", "Node n2", "Node n3", "Votes waiting in the nodes", "Sink sqlite", *of_time} == titles
    assert f"quorate chaos --history {process.history} --nodes 3" in report.read_text()
    wait_for("no node is left", lambda: not left_behind(tmp_path))


def test_votes_go_through_a_queue_that_lies(tmp_path: Path, started: list[ChaosProcess]) -> None:
    faults = "nsqd-doubles,nsqd-requeues,nsqd-times-out,nsqd-dead,kill-leader"
    process = begin(started, tmp_path, "--duration", "15s", "--seed", "4", "--faults", faults, "--services", "nsqd")
    process.ended(ENDED_S)
    verdict = judge(process.history)
    assert ("clean", []) == (verdict.verdict, verdict.violations), (verdict.reasons, process.output())
    assert verdict.reached["queued-vote-had-counted"].times > 0
    wait_for("no process is left", lambda: not left_behind(tmp_path))


@pytest.mark.timeout(3 * ENDED_S + 20)
def test_nodes_change_to_another_version_and_back(tmp_path: Path, started: list[ChaosProcess]) -> None:
    """The other one is this source under another version, and writes down each start of a node."""
    other, starts, python = tmp_path / "other", tmp_path / "starts", tmp_path / "python"
    shutil.copytree(ROOT / "src", other, ignore=shutil.ignore_patterns("__pycache__"))
    append(other / "quorate" / "__init__.py", '__version__ = "9.9.9"')
    append(other / "quorate" / "chaos" / "victim" / "seams.py", f"print(__name__, file=open({str(starts)!r}, 'a'))")
    python.write_text(f'#!/bin/sh\nPYTHONPATH={other} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    faults = "mixed-minority,mixed-leader,mixed-upgrade"
    flags = ["--duration", "1h", "--seed", "1", "--faults", faults, "--mixed-with", str(python)]
    process = begin(started, tmp_path, *flags)
    ended = [f"mended: {name}: " for name in faults.split(",")]
    wait_for(
        "each kind has ended",
        lambda: all(e in process.output() for e in ended),
        deadline_s=2 * ENDED_S,
        seen=process.output,
    )
    process.signal(signal.SIGINT)
    process.ended(ENDED_S)
    assert [] == judge(process.history).violations, process.output()
    end = process.records()[-1]
    assert isinstance(end, End)
    assert end.settled, end.words
    found = {record.name: record.words for record in process.records() if isinstance(record, Fault)}
    assert "Quorate 9.9.9 on Python" in found["mixed-leader"]
    assert len(starts.read_text().splitlines()) >= len(found)
    wait_for("no node is left", lambda: not left_behind(tmp_path))


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text()}\n{line}\n")


def test_ctrl_c_ends_a_run_early_and_what_there_is_is_judged(tmp_path: Path, started: list[ChaosProcess]) -> None:
    process = begin(started, tmp_path, "--duration", "1h", "--seed", "2", "--faults", "kill-follower")
    wait_for("a fault is active", lambda: is_broken(process), deadline_s=60, seen=process.tail)
    process.signal(signal.SIGINT)
    process.ended(ENDED_S)
    verdict = judge(process.history)
    assert [] == verdict.violations, process.output()
    assert isinstance(process.records()[-1], End)
    wait_for("no node is left", lambda: not left_behind(tmp_path))


def test_ctrl_c_twice_ends_the_run_at_once_and_leaves_no_process(tmp_path: Path, started: list[ChaosProcess]) -> None:
    process = begin(started, tmp_path, "--duration", "1h", "--seed", "2", "--faults", "kill-follower")
    wait_for("a fault is active", lambda: is_broken(process), deadline_s=60, seen=process.tail)
    process.signal(signal.SIGINT)
    wait_for("it ends early", lambda: "everything is mended" in process.output(), deadline_s=30, seen=process.tail)
    process.signal(signal.SIGINT)
    process.ended(ENDED_S)
    assert INTERRUPTED == process.exit_status
    assert not isinstance(process.records()[-1], End)
    wait_for("no node is left", lambda: not left_behind(tmp_path))


def test_a_planted_bug_is_caught(tmp_path: Path, started: list[ChaosProcess]) -> None:
    flags = ["--mutant", "older-totals-under-an-equal-fence", "--faults", "none", "--duration", "3s"]
    process = begin(started, tmp_path, *flags)
    process.ended(ENDED_S)
    assert 1 == process.exit_status, process.output()
    assert "all nodes have the planted bug older-totals-under-an-equal-fence" in process.output()
    assert "sinks: sqlite showed " in process.output()


def test_a_history_that_cannot_be_written_ends_the_run(tmp_path: Path, started: list[ChaosProcess]) -> None:
    process = begin(started, tmp_path, "--duration", "1h", "--faults", "none", "--history", "/dev/full")
    process.ended(ENDED_S)
    assert INCONCLUSIVE == process.exit_status, process.output()
    assert "quorate: /dev/full: No space left on device" in process.output()
    assert "Traceback" not in process.output()
    wait_for("no node is left", lambda: not left_behind(tmp_path))
