"""A page stays small whatever a history's names, words, kinds of faults and situations are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from quorate.chaos.history import End, Fault, Header, Record
from quorate.chaos.report.story import KINDS_MAX
from tests.unit.chaos.report_files import PageTree, drawn
from tests.unit.chaos.test_report import PAGE_BYTES_MAX, vote_at

KINDS, SITUATIONS = 1_500, 20_000


def much_of_all() -> Iterator[Record]:
    asked = [f"situation-{n}" for n in range(SITUATIONS)]
    yield Header(1, "t", 1, 0, {"n1": "u" * 5_000}, 9, [f"kind-{n}" for n in range(KINDS)], asked, 600.0)
    for n in range(KINDS):
        yield Fault(n * 0.1, n, f"kind-{n}", "begin", [f"n{each}" for each in range(100)], "w" * 20_000)
    for n in range(2_000):
        yield vote_at(n, n * 0.3, n * 0.3 + n % 50)
    for n in range(KINDS):
        yield Fault(n * 0.1 + 50, n, f"kind-{n}", "end")
    yield End(700.0, 2_000, True, "x" * 1_000_000)


def test_what_is_long_is_cut_and_what_is_too_much_is_counted(tmp_path: Path) -> None:
    text, verdict, story = drawn(tmp_path, much_of_all())
    assert len(text.encode()) < PAGE_BYTES_MAX
    assert len(msgspec.json.encode(story)) < 2 * PAGE_BYTES_MAX
    tree = PageTree(text)
    assert [f"kind-{n}" for n in range(KINDS_MAX)] == [kind.name for kind in story.by_fault]
    assert KINDS - KINDS_MAX == story.kinds_left_out
    assert f"{KINDS - KINDS_MAX:,} more kinds, not listed." in tree.text
    assert 0 < text.count("✗ missed") < SITUATIONS == len(verdict.missed)
    assert story.quiet.operations == sum(n * 0.3 > (KINDS - 1) * 0.1 + 50 for n in range(2_000))  # after the last fault
