"""The pid file: its lock tells the living from the dead, its number is believed only while somebody holds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_nobody_runs_where_there_is_no_file(tmp_path: Path) -> None:
    assert pidfile.running(tmp_path) is None
