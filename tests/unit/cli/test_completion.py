"""What a shell completes: commands, flags, values, and the names of polls."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.cli import COMMANDS
from quorate.cli.completion import SHELLS
from tests.support.http_node import Node
from tests.unit.cli.told import Capture, Told

QUORATE = [sys.executable, "-P", "-m", "quorate"]


def completed(line: str, **env: str) -> list[str]:
    """The words that bash is offered for the end of a line."""
    asks = {"_QUORATE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    told = subprocess.run(
        QUORATE, env={**os.environ, **asks, **env}, capture_output=True, text=True, timeout=30, check=True
    )
    assert "" == told.stderr
    return [word.partition(",")[2] for word in told.stdout.split("\n") if word]


def test_commands_flags_and_values_are_completed() -> None:
    assert set(COMMANDS) == set(completed("quorate "))
    assert ["polls"] == completed("quorate po")
    assert {"open", "close"} <= set(completed("quorate polls "))
    assert "--level" in completed("quorate results --")
    assert ["linearizable"] == completed("quorate results --level li")


def test_polls_and_options_are_those_of_the_cluster(node: Node) -> None:
    """But no word that a shell would take apart, or do."""
    for id in ("move on", "mo;rm -rf", "\u202emo", "mo\u00f6d"):
        node.ask("POST", "/polls", {"id": id, "options": ["happier", "so so"]})
    url = f"http://127.0.0.1:{node.port}"
    assert ["mood", "mo\u00f6d"] == completed("quorate results mo")
    assert ["mood"] == completed(f"quorate results --node {url} moo", QUORATE_NODES="http://127.0.0.1:1")
    assert ["mood"] == completed("quorate polls close moo")
    assert [] == completed("quorate polls create ")
    assert ["happy", "happier"] == completed("quorate vote hap")
    assert ["happy", "sad"] == completed("quorate vote --poll mood ")


def test_where_no_node_answers_nothing_is_said() -> None:
    assert [] == completed("quorate results ", QUORATE_NODES="http://127.0.0.1:1")
    assert [] == completed("quorate vote ", QUORATE_NODES="http://127.0.0.1:1", QUORATE_TOKEN_FILE="/no/such/file")


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_that_it_can_read(shell: str, capsys: Capture) -> None:
    told = Told(capsys, "completion", shell)
    assert (0, "") == (told.code, told.err)
    assert "_QUORATE_COMPLETE" in told.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=told.out, text=True, check=True, timeout=30)


def test_bash_completes_by_it(capsys: Capture, tmp_path: Path) -> None:
    program = tmp_path / "quorate"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(QUORATE)} "$@"\n')
    program.chmod(0o700)
    lines = [
        Told(capsys, "completion", "bash").out,
        "COMP_WORDS=(quorate pol) COMP_CWORD=1",
        "_quorate_completion quorate",
        'echo "${COMPREPLY[@]}"',
    ]
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    told = subprocess.run(
        ["bash", "-c", "\n".join(lines)], env=env, capture_output=True, text=True, timeout=30, check=True
    )
    assert "polls" == told.stdout.strip(), told.stderr


def test_another_shell_is_refused(capsys: Capture) -> None:
    told = Told(capsys, "completion", "csh")
    assert 2 == told.code
    assert "bash" in told.err
