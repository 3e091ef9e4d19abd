"""The table, in Markdown: the sums over all seeds, and the longest of all gaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from bench.elsewhere.counting import Outcome

HEAD = ("", "operations", "acked", "unknown", "lost acks", "doubled", "stale reads", "longest gap", "p50", "verdict")


def table(rows: Iterable[tuple[str, Sequence[Outcome]]]) -> str:
    lines = [_line(HEAD), _line(["---"] + ["---:"] * (len(HEAD) - 2) + ["---"])]
    return "\n".join([*lines, *(_line(cells(name, outcomes)) for name, outcomes in rows)])


def cells(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    counted = [outcome.counted for outcome in outcomes]
    return [
        name,
        f"{sum(each.operations for each in counted):,}",
        f"{sum(each.acknowledged for each in counted):,}",
        f"{sum(each.unknown for each in counted):,}",
        f"{sum(each.lost for each in counted):,}",
        f"{sum(each.doubled for each in counted):,}",
        f"{sum(each.stale for each in counted):,} of {sum(each.reads for each in counted):,}",
        f"{max(outcome.longest_gap_s for outcome in outcomes):.1f} s",
        f"{median(each.p50_ms for each in counted):.1f} ms",
        _verdict(outcomes),
    ]


def _verdict(outcomes: Sequence[Outcome]) -> str:
    """The worst one, with the properties that were violated."""
    found = sorted({name for outcome in outcomes for name in outcome.found})
    if found:
        return f"violated: {', '.join(found)}"
    return "inconclusive" if any(outcome.verdict == "inconclusive" for outcome in outcomes) else "clean"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
