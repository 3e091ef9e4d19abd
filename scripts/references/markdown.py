"""What both references write alike."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def cell(text: object) -> str:
    """A text in a table: on one line, and its bars are no borders."""
    return " ".join(str(text).split()).replace("|", "\\|")


def words(text: str) -> str:
    """A text outside of code: placeholders as <name> are no HTML."""
    return text.replace("<", "&lt;")


def code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The table, without columns that have nothing in any row. The first column stays."""
    found = [[cell(each) for each in row] for row in rows]
    kept = [at for at in range(len(heads)) if at == 0 or any(row[at] for row in found)]
    lines = [[heads[at] for at in kept], *([row[at] for at in kept] for row in found)]
    first, *others = ["| " + " | ".join(line) + " |" for line in lines]
    return [first, "|" + "---|" * len(kept), *others] if found else []


def paragraph(text: str) -> list[str]:
    return textwrap.wrap(words(text), 120, break_long_words=False, break_on_hyphens=False)
