"""The first steps of a new user: `scripts/bootstrap.sh` in a new clone, a vote by hand, Ctrl-C; then the same again.

The new clone gets its environment from the package index, or from the cache that this checkout's set-up left.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from quorate.dev.folder import RAFT_PORT_OFFSET
from quorate.processes.ports import BLOCK, free_ports, is_free, own_block
from quorate.processes.process import Process
from tests.support.checkout import ROOT, copy_to
from tests.support.waiting import let_pass, wait_for

SET_UP_S = 180.0


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    copy_to(tmp_path / "quorate")
    return tmp_path / "quorate"


def first_of_free_ports(count: int = 3) -> int:
    """The first of `count` free ports in a row; the ports for the links between nodes are free too. All are ours."""
    ours = {*own_block()}
    for port in free_ports(BLOCK // 4):
        wanted = [port + i + above for i in range(count) for above in (0, RAFT_PORT_OFFSET)]
        if ours.issuperset(wanted) and all(map(is_free, wanted)):
            return port
    raise RuntimeError("no free ports in a row")


def bootstrap(clone: Path, elsewhere: Path, port: int, *arguments: str) -> Process:
    """The script, called from another working directory and without a terminal."""
    elsewhere.mkdir(exist_ok=True)
    tools = f"{ROOT / '.cache' / 'uv-tool' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = [str(clone / "scripts" / "bootstrap.sh"), "--port", str(port), *arguments]
    return Process("bootstrap", command, elsewhere / "output.txt", env={"PATH": tools}, cwd=elsewhere)


def total(port: int) -> int:
    shown = get(f"http://127.0.0.1:{port}/polls/mood/results?level=none")
    return int(shown["total"]) if shown else 0


def vote(port: int) -> dict[str, int]:
    answer = get(f"http://127.0.0.1:{port}/votes", b'{"option":"happy","id":"by-hand"}')
    return {key: answer[key] for key in ("applied", "duplicates")}


def get(url: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes that name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has ended since
            found.append(entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return [line for line in found if str(folder) in line]


@pytest.mark.timeout(400)
def test_a_fresh_clone_counts_the_sample_and_a_vote_and_stops_without_a_trace(clone: Path, tmp_path: Path) -> None:
    port, elsewhere = first_of_free_ports(), tmp_path / "elsewhere"
    run = bootstrap(clone, elsewhere, port)
    samples = len((clone / "src" / "quorate" / "dev" / "sample-votes.ndjson").read_text().splitlines())
    try:
        run.start()
        wait_for(
            "the sample votes are counted",
            lambda: total(port) == samples or not run.running,
            deadline_s=SET_UP_S,
            seen=run.tail,
        )
        assert run.running, run.tail()
        assert 3 == run.output().count("  curl ")
        assert {"applied": 1, "duplicates": 0} == vote(port + 1)
        assert {"applied": 0, "duplicates": 1} == vote(port + 2)
        run.signal(signal.SIGINT)
        assert 0 == run.ended(30), run.tail()
    finally:
        run.close()
    assert [] == processes_in(clone)
    assert (elsewhere / "data" / "ballots.db").exists()

    again = bootstrap(clone, elsewhere, port, "--no-feed")
    again.env |= {"HTTPS_PROXY": "http://127.0.0.1:9", "UV_OFFLINE": "1"}  # the second time it needs no network
    try:
        again.start()
        wait_for(
            "the cluster goes on",
            lambda: total(port) == samples + 1 or not again.running,
            deadline_s=60,
            seen=again.tail,
        )
        assert again.running, again.tail()
        again.signal(signal.SIGTERM)
        assert 0 == again.ended(30), again.tail()
    finally:
        again.close()
    assert [] == processes_in(clone)


@pytest.mark.timeout(400)
def test_set_ups_that_run_at_once_wait_for_each_other(clone: Path, tmp_path: Path) -> None:
    tools = f"{ROOT / '.cache' / 'uv-tool' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-c", ". scripts/setup.sh && set_up run && exec .venv/bin/quorate version"]
    (clone / ".cache").mkdir(exist_ok=True)
    runs = [Process(f"{n}", command, tmp_path / f"{n}.txt", env={"PATH": tools}, cwd=clone) for n in range(2)]
    try:
        with open(clone / ".cache" / "set-up.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for run in runs:
                run.start()
            wait_for(
                "both wait",
                lambda: all("Waiting for another set-up" in run.output() for run in runs),
                deadline_s=60,
                seen=runs[0].tail,
            )
        assert [0, 0] == [run.ended(SET_UP_S) for run in runs], [run.tail() for run in runs]
    finally:
        for run in runs:
            run.close()
    assert 1 == sum("Setting up .venv" in run.output() for run in runs), "the second found it done"


@pytest.mark.timeout(60)
def test_an_interrupted_set_up_is_told_without_a_traceback(clone: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches all processes of the terminal: here while Python waits for the lock of another set-up."""
    (clone / ".cache").mkdir(exist_ok=True)
    output = tmp_path / "output.txt"
    with open(clone / ".cache" / "set-up.lock", "w") as lock, open(output, "w") as sink:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = subprocess.Popen([clone / "scripts" / "bootstrap.sh"], stderr=sink, start_new_session=True)
        try:
            wait_for("it waits", lambda: "Waiting for another set-up" in output.read_text(), deadline_s=40)
            let_pass(0.3, because="bash must have started Python, which waits silently")
            os.killpg(run.pid, signal.SIGINT)
            assert 130 == run.wait(30)
        finally:
            run.kill()
            run.wait()
    said = output.read_text().split("...", 1)[1]
    assert "bootstrap.sh: interrupted; the same command goes on with the set-up" == said.strip()


@pytest.mark.timeout(400)
def test_a_port_in_use_is_said_before_anything_starts(clone: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = bootstrap(clone, tmp_path / "elsewhere", port)
        try:
            run.start()
            assert 1 == run.ended(SET_UP_S), run.tail()
        finally:
            run.close()
    assert str(port) in run.output()
    assert not (tmp_path / "elsewhere" / "data" / "n1").exists()
