"""Shows a tally: a row with a bar for each option. For `results` and `dev`."""

from __future__ import annotations

from collections.abc import Mapping

from rich.bar import Bar
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from quorate.shown import line

ROWS_MAX = 20


def tally(results: Mapping[str, int], rows_max: int = ROWS_MAX) -> RenderableType:
    """Options in the order of the poll. If there are more than `rows_max`, the options with most votes."""
    total = sum(results.values())
    most = max(results.values(), default=0) or 1
    rows = list(results.items())
    if len(rows) > rows_max:
        rows = sorted(rows, key=lambda item: -item[1])[:rows_max]
    table = Table(box=None, pad_edge=False, show_header=False, expand=True)
    table.add_column(overflow="ellipsis", no_wrap=True, max_width=32)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(ratio=1)
    for option, votes in rows:
        share = f"{100 * votes / total:.1f} %" if total else ""
        table.add_row(Text(line(option)), f"{votes:,}", share, Bar(most, 0, votes, color="cyan"))
    if len(rows) < len(results):
        table.add_row(Text(f"and {len(results) - len(rows):,} more", style="dim"), "", "", "")
    return table
