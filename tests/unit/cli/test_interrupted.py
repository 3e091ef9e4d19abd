"""Ctrl-C ends a command without a traceback, also while it still starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("quorate")


@pytest.mark.parametrize("command", [[str(PROGRAM)], [sys.executable, "-P", "-m", "quorate"]], ids=["program", "-m"])
@pytest.mark.parametrize("module", ["click", "quorate.cli.text", "requests"])
def test_an_interrupt_during_the_imports_shows_nothing(tmp_path: Path, command: list[str], module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"""import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*command, "nodes"], env=env, capture_output=True, text=True, timeout=60)
    assert (130, "", "") == (done.returncode, done.stdout, done.stderr.strip())
