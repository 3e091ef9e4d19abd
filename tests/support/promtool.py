"""Finds promtool, for the tests of deploy/: one on PATH, or one that the set-up has fetched.

`python -m tests.support.promtool` prints its path, or exits with 1 if there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

FETCHED = ROOT / ".cache" / "prometheus" / "usr" / "bin" / "promtool"
MISSING = (
    "no promtool here, so the alert rules are not tested. It is in Prometheus: Debian, Ubuntu: apt install prometheus; "
    "macOS: brew install prometheus"
)


def find() -> str | None:
    return shutil.which("promtool") or shutil.which(FETCHED)


def run(*arguments: str, folder: Path | None = None, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Skips the test where there is no promtool; with QUORATE_REQUIRE_SERVICES=1 it fails."""
    program = find()
    if program is None:
        if os.environ.get("QUORATE_REQUIRE_SERVICES") == "1":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return subprocess.run([program, *arguments], cwd=folder, input=text, capture_output=True, text=True, timeout=60)


if __name__ == "__main__":
    path = find()
    print(path or MISSING, file=sys.stdout if path else sys.stderr)
    sys.exit(path is None)
