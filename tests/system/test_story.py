"""`quorate dev --story`: posts are made up, read, counted and shown; a killed stream goes on; all of it is exact."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from quorate.processes.process import Process
from tests.support.waiting import wait_for
from tests.system.test_bootstrap import first_of_free_ports, processes_in


def says(process: Process, words: str, times: int = 1) -> str:
    """The last line with these words (a pattern), once there are so many."""
    found = wait_for(
        f"it says {words!r}",
        lambda: lines if len(lines := re.findall(f"(?m)^.*{words}.*$", process.output())) >= times else None,
        deadline_s=60,
        seen=process.tail,
    )
    return str(found[-1])


def pid_of_stream(process: Process, times: int) -> int:
    line = says(process, r"quorate stream replay reads them \(process \d+\)", times)
    return int(line.partition("(process ")[2].partition(")")[0])


@pytest.mark.timeout(200)
def test_the_story_is_told_to_its_exact_end_though_the_stream_is_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    flags = ["--nodes", "1", "--data", str(data), "--port", str(first_of_free_ports(1))]
    process = Process("dev", [sys.executable, "-m", "quorate", "dev", "--story", *flags], tmp_path / "dev.txt")
    process.start()
    try:
        says(process, r"makes up posts, 150 a second and more in bursts \(seed \d+\)")
        assert "sends votes to the nodes" in says(process, "quorate stream replay reads them")
        says(process, r"story: coffee [1-9]")
        says(process, r"synthetic posts read, [1-9][0-9,]* votes confirmed by the cluster")
        os.kill(pid_of_stream(process, 1), signal.SIGKILL)
        says(process, "the stream was killed by signal 9; it is started again, and goes on where it was")
        pid_of_stream(process, 2)
        process.signal(signal.SIGINT)
        assert 0 == process.ended(40), process.tail()
    finally:
        process.close()
    says(
        process,
        r"Planted: [0-9,]+ votes in [0-9,]+ made-up posts\. Counted: exactly these\. Written to sqlite as well\.",
    )
    assert [] == processes_in(data)
