"""Plain columns, for people and for `grep`: without frames and colours, and never cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.cli.output import echo


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Numbers are aligned to the right and have commas between thousands. None is shown as a dash."""
    from rich.cells import cell_len  # options may have wide characters, so count columns and not code points

    table = [list(headings), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(row[column]) for row in table) for column in range(len(headings))]
    numbers = [all(isinstance(row[column], int) for row in rows) for column in range(len(headings))]
    for row in table:
        cells = []
        for text, width, is_number in zip(row, widths, numbers, strict=True):
            pad = " " * (width - cell_len(text))
            cells.append(pad + text if is_number else text + pad)
        echo("  ".join(cells).rstrip())


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
