"""The end of scripts/test.sh: each test that failed, with the end of what it said, then one line for all suites.

That line is `N passed, N failed, N skipped`. The tests come right before it, because often only the end of a
long log is shown.

Called as `python -m tests.support.totals FOLDER STEP...`. The folder has a JUnit file for each suite, and the steps are
the ones that failed. A failed step without a failed test in its report (a check, or a pytest that could not write its
report) counts as one failure, so that a failed run never prints "0 failed".
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

ENDINGS = (
    "passed",
    "skipped",
    "failed",
)  # the last of them counts, because a test that passed may still fail in its clean-up
ENDING_OF_MARK = {"failure": "failed", "error": "failed", "skipped": "skipped"}
LINES_SHOWN = 8  # of an error, and of its traceback
COLUMNS_SHOWN = 300


def total(folder: Path, failed_steps: Iterable[str]) -> str:
    found: Counter[str] = Counter()
    blamed = set()
    for report in folder.glob("*.xml"):
        suite = Counter(endings(report).values())
        found += suite
        if suite["failed"]:
            blamed.add(report.stem)
    found["failed"] += len(set(failed_steps) - blamed)
    return ", ".join(f"{found[ending]} {ending}" for ending in ("passed", "failed", "skipped"))


def failures(folder: Path) -> Iterator[str]:
    """The tests that failed: where each is, its error, and the last lines of its traceback."""
    for report in sorted(folder.glob("*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):
            for mark in case:
                if ENDING_OF_MARK.get(mark.tag) == "failed":
                    yield f"FAILED {report.stem}: {case.get('classname')}::{case.get('name')}"
                    said = [
                        *(mark.get("message") or "").splitlines()[:LINES_SHOWN],
                        *(mark.text or "").splitlines()[-LINES_SHOWN:],
                    ]
                    yield from (f"  {line[:COLUMNS_SHOWN]}" for line in said)


def endings(report: Path) -> dict[tuple[str | None, str | None], str]:
    """Each test, and how it ended."""
    worst: dict[tuple[str | None, str | None], str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname"), case.get("name")
        marks = [ENDING_OF_MARK[mark.tag] for mark in case if mark.tag in ENDING_OF_MARK]
        worst[name] = max(worst.get(name, "passed"), *marks, "passed", key=ENDINGS.index)
    return worst


if __name__ == "__main__":
    for line in failures(Path(sys.argv[1])):
        print(line)
    print(total(Path(sys.argv[1]), sys.argv[2:]))
