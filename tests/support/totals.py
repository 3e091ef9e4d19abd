"""The last line of scripts/test.sh: `N passed, N failed, N skipped`, summed over the suites' reports.

Called as `python -m tests.support.totals FOLDER STEP...`: the folder holds one JUnit file a suite, and the steps are
those that failed. One without a failed test in its report (a check, or a pytest that ended before it could report)
counts as one failure, so that "0 failed" is never said of a run that failed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

FATES = ("passed", "skipped", "failed")  # the later one wins: a test may also fail when it is cleaned up
FATE_OF_MARK = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def total(folder: Path, failed_steps: Iterable[str]) -> str:
    found: Counter[str] = Counter()
    blamed = set()
    for report in folder.glob("*.xml"):
        suite = Counter(fates(report).values())
        found += suite
        if suite["failed"]:
            blamed.add(report.stem)
    found["failed"] += len(set(failed_steps) - blamed)
    return ", ".join(f"{found[fate]} {fate}" for fate in ("passed", "failed", "skipped"))


def fates(report: Path) -> dict[tuple[str | None, str | None], str]:
    """What became of each test."""
    worst: dict[tuple[str | None, str | None], str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname"), case.get("name")
        marks = [FATE_OF_MARK[mark.tag] for mark in case if mark.tag in FATE_OF_MARK]
        worst[name] = max(worst.get(name, "passed"), *marks, "passed", key=FATES.index)
    return worst


if __name__ == "__main__":
    print(total(Path(sys.argv[1]), sys.argv[2:]))
