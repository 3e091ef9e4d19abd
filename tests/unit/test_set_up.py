"""scripts/setup.sh finds a Python that it can use, or says what is there and what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

PROGRAMS = ("bash", "dirname", "basename", "cat")  # all that setup.sh needs to look for a Python

# A Python that says it is of another version, and that lacks modules.
PRETENDER = """#!{python} -IS
import sys
sys.version_info = ({version}, 0, "final", 0)
sys.executable = __file__
sys.modules.update(dict.fromkeys({lacking!r}))
_, dash_c, program, *arguments = sys.argv
sys.argv = [dash_c, *arguments]
exec(program)
"""

Machine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Look for a Python where only these are: `name=version`, and after a `-` the modules that it lacks."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(str(shutil.which(name)))

    def look(*pythons: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        for python in pythons:
            name, _, rest = python.partition("=")
            version, _, lacking = rest.partition("-")
            pretend(programs / name, version, lacking.split("-") if lacking else [])
        return subprocess.run(
            ["bash", "-c", ". scripts/setup.sh && find_python"],
            cwd=ROOT,
            env={"PATH": str(programs), **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return look


def pretend(path: Path, version: str, lacking: Sequence[str]) -> None:
    path.write_text(PRETENDER.format(python=sys.executable, version=version.replace(".", ", "), lacking=lacking))
    path.chmod(0o755)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.15"])
def test_a_machine_with_one_python_uses_that(machine: Machine, version: str) -> None:
    found = machine(f"python{version}={version}")
    assert f"python{version}" == os.path.basename(found.stdout.strip()), found.stderr


def test_a_python_that_is_too_old_or_too_new_is_passed_over(machine: Machine) -> None:
    found = machine("python3=3.10", "python3.15=3.16", "python3.14=3.14-ensurepip", "python3.12=3.12")
    assert "python3.12" == os.path.basename(found.stdout.strip()), found.stderr


@pytest.mark.parametrize("version", ["3.10", "3.16"])
def test_the_wrong_version_is_told(machine: Machine, version: str) -> None:
    found = machine(f"python3={version}")
    assert 1 == found.returncode
    assert f"bin/python3 is Python {version}\n" in found.stderr
    assert "uv python install 3.14" in found.stderr


def test_a_python_without_a_module_is_told_with_what_brings_it(machine: Machine) -> None:
    found = machine("python3=3.14-ensurepip", "python3.13=3.13-sqlite3-lzma")
    assert "bin/python3 lacks ensurepip; Debian, Ubuntu: apt install python3.14-venv\n" in found.stderr
    assert "bin/python3.13 was built without sqlite3, lzma\n" in found.stderr


def test_a_machine_without_python_is_told_what_to_install(machine: Machine) -> None:
    found = machine()
    assert 1 == found.returncode
    assert "no usable Python 3.11 to 3.15.\n" in found.stderr
    assert "apt install python3 python3-venv" in found.stderr


@pytest.mark.parametrize(
    ("asked", "why"), [("/nowhere/python3", "is not a program"), ("python3.10", "is Python 3.10"), ("cat", "does not")]
)
def test_no_other_python_is_taken_than_the_one_that_was_asked_for(machine: Machine, asked: str, why: str) -> None:
    found = machine("python3=3.12", "python3.10=3.10", env={"QUORATE_PYTHON": asked})
    assert (1, "") == (found.returncode, found.stdout)
    assert "QUORATE_PYTHON names no usable Python" in found.stderr
    assert f"{asked} {why}" in found.stderr


@pytest.mark.parametrize(
    ("made", "kept"),
    [
        ("mkdir -p .venv/bin && touch .venv/bin/quorate", False),
        ("touch .venv", False),
        ("ln -s /nowhere .venv", False),
        ("mkdir -p .venv/bin && ln -s /nowhere/python .venv/bin/python", False),
        ("mkdir -p .venv/bin && ln -s {python} .venv/bin/python", True),
    ],
)
def test_what_a_killed_set_up_left_is_no_obstacle(tmp_path: Path, made: str, kept: bool) -> None:
    """uv refuses a .venv without an interpreter, and the network was said to be the cause."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "scripts")
    script = f". scripts/setup.sh && {made.format(python=sys.executable)} && remove_remains"
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True, timeout=60)
    assert kept == os.path.lexists(tmp_path / ".venv")
