"""The pid file: its lock says whether the process lives. Its number counts only while a process holds the lock."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from quorate import pidfile

HOLD = (
    "import sys, time, pathlib, quorate.pidfile as p; f = p.hold(pathlib.Path(sys.argv[1])); print('held', flush=True)"
)


def test_a_folder_is_held_by_one_process_until_it_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"{HOLD}; time.sleep(60)", str(tmp_path / "n1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert "held\n" == other.stdout.readline()
        assert other.pid == pidfile.running(tmp_path / "n1")
        assert pidfile.hold(tmp_path / "n1") is None
        assert f"{other.pid}\n" == (tmp_path / "n1" / "node.pid").read_text()
        other.kill()
        other.wait(10)
        assert pidfile.running(tmp_path / "n1") is None
    mine = pidfile.hold(tmp_path / "n1")
    assert mine is not None
    pidfile.let_go(mine)
    assert [] == list((tmp_path / "n1").iterdir())


def test_somebody_who_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    """`quorate dev` checks four times a second, and takes the lock for a moment each time."""
    (tmp_path / "node.pid").touch()
    with open(tmp_path / "node.pid", encoding="ascii") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        gone = threading.Timer(0.05, fcntl.flock, (looker, fcntl.LOCK_UN))
        gone.start()
        mine = pidfile.hold(tmp_path)
        gone.join()
        assert mine is not None
        pidfile.let_go(mine)


def test_a_file_that_its_holder_has_just_removed_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock

    def removed_in_between(file: IO[str], how: int) -> None:
        monkeypatch.undo()
        (tmp_path / "node.pid").unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", removed_in_between)
    mine = pidfile.hold(tmp_path)
    assert mine is not None
    assert os.getpid() == pidfile.running(tmp_path), "the lock is on the file that others see"
    pidfile.let_go(mine)


def test_nobody_runs_where_there_is_no_file(tmp_path: Path) -> None:
    assert pidfile.running(tmp_path) is None
