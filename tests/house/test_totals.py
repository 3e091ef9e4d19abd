"""The end of scripts/test.sh agrees with what pytest reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.totals import failures, total

SUITE = """
import pytest

@pytest.fixture
def torn():
    yield
    raise RuntimeError("in the clean-up")

@pytest.fixture
def unready():
    raise RuntimeError("in the set-up")

def test_passes(): pass
@pytest.mark.parametrize("n", [1, 2])
def test_passes_twice(n): pass
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_known_to_fail(): assert False
def test_fails(): assert False
def test_fails_twice(torn): assert False
def test_fails_at_its_end(torn): pass
def test_never_ran(unready): pass
"""


def report(folder: Path, suite: str, source: str) -> None:
    test = folder / f"test_{suite}.py"
    test.write_text(source)
    quiet = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", f"--rootdir={folder}"]
    command = [sys.executable, "-m", "pytest", str(test), *quiet, f"--junitxml={folder / suite}.xml"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)


def test_each_test_counts_once_and_errors_are_failures(tmp_path: Path) -> None:
    report(tmp_path, "unit", SUITE)
    report(tmp_path, "system", "def test_passes(): pass")
    assert "4 passed, 4 failed, 2 skipped" == total(tmp_path, ["unit"])


def test_a_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    report(tmp_path, "unit", "import nothing_of_that_name")
    assert "0 passed, 1 failed, 0 skipped" == total(tmp_path, ["unit"])


def test_a_step_that_failed_without_a_report_counts_as_one(tmp_path: Path) -> None:
    report(tmp_path, "system", "def test_passes(): pass")
    assert "1 passed, 2 failed, 0 skipped" == total(tmp_path, ["mypy", "unit"])
    assert "1 passed, 1 failed, 0 skipped" == total(tmp_path, ["system"])  # pytest was killed after the last test


def test_nothing_that_ran_is_nothing_passed(tmp_path: Path) -> None:
    assert "0 passed, 0 failed, 0 skipped" == total(tmp_path, [])


def test_each_failure_is_named_with_its_error(tmp_path: Path) -> None:
    report(tmp_path, "unit", SUITE)
    said = list(failures(tmp_path))
    named = [line for line in said if line.startswith("FAILED")]
    assert named == [
        f"FAILED unit: test_unit::{test}"
        for test in ("test_fails", "test_fails_twice", "test_fails_twice", "test_fails_at_its_end", "test_never_ran")
    ]
    assert "  assert False" in said
    assert any("RuntimeError: in the set-up" in line for line in said)
