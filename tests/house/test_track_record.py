"""docs/track-record.md names tests that exist, and commits that exist where the history is at hand."""

from __future__ import annotations

import re
import subprocess
from typing import NamedTuple

import pytest

from tests.support.checkout import ROOT

RECORD = ROOT / "docs" / "track-record.md"
ROW = re.compile(
    r"^\| (?P<what>[^|]+) \| (?P<found>[^|]+) \| `(?P<test>\w+)` in `(?P<path>[\w/.]+)`"
    r" \| `(?P<commit>[0-9a-f]{7,40})` \|",
    re.M,
)


class RecordedBug(NamedTuple):
    what: str
    found: str
    test: str
    path: str
    commit: str


def recorded() -> list[RecordedBug]:
    return [RecordedBug(**match.groupdict()) for match in ROW.finditer(RECORD.read_text(encoding="utf-8"))]


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def why_no_history() -> str | None:
    """None: all commits are here."""
    try:
        shallow = git("rev-parse", "--is-shallow-repository")
    except FileNotFoundError:
        return "there is no git"
    if shallow.returncode != 0:
        return "this is no clone of the repository"
    return "this clone is shallow" if shallow.stdout.strip() == "true" else None


def test_every_row_is_read() -> None:
    rows = [line for line in RECORD.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) == len(recorded())
    assert len(rows) >= 40


def test_every_test_in_the_record_exists() -> None:
    missing = [
        f"{bug.path}: {bug.test}"
        for bug in recorded()
        if not (ROOT / bug.path).exists()
        or not re.search(rf"^(async )?def {bug.test}\(", (ROOT / bug.path).read_text(encoding="utf-8"), re.M)
    ]
    assert [] == missing


def test_every_commit_in_the_record_exists() -> None:
    if (why := why_no_history()) is not None:
        pytest.skip(why)
    missing = [bug.commit for bug in recorded() if git("merge-base", "--is-ancestor", bug.commit, "HEAD").returncode]
    assert [] == missing
