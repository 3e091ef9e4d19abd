"""Rows and spans made into steps: what a poll had at each moment, or None where nobody knows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from quorate.history.history_file import Kept, KeptRow, Span


def rows_at(kept: Kept, moments: Sequence[int]) -> list[KeptRow | None]:
    """For each moment, the last row before it, if it is of the same span: in between nothing changed."""
    begins = [began for began, _ in kept.spans]
    times = [row.time for row in kept.rows]
    return [_row_at(kept, begins, times, moment) for moment in moments]


def gaps_in(kept: Kept, begin: int, end: int) -> list[Span]:
    """From the last second that was recorded to the first that was again, since the poll was first seen.

    Some are too short to be met by a step. The last one may go on until `end`.
    """
    if not kept.rows:
        return []
    first = kept.rows[0].time  # may be before the beginning, and so may be the end of its span, which is not here then
    ends = [begin, *(ended for _, ended in kept.spans)]
    begins = [*(began for began, _ in kept.spans), end]
    return [(gone, back) for gone, back in zip(ends, begins, strict=True) if first <= gone < back - 1]


def _row_at(kept: Kept, begins: Sequence[int], times: Sequence[int], moment: int) -> KeptRow | None:
    span = bisect_right(begins, moment) - 1
    if kept.since is None or moment < kept.since or span < 0 or moment > kept.spans[span][1]:
        return None
    row = bisect_right(times, moment) - 1
    return kept.rows[row] if row >= 0 and times[row] >= begins[span] else None
