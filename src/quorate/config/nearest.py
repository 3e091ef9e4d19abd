"""The known word that a misspelt word most likely means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that is, or begins, most like this word: `electon` finds `election_timeout_ms`."""

    def likeness(candidate: str) -> float:
        whole = difflib.SequenceMatcher(None, word, candidate).ratio()
        start = difflib.SequenceMatcher(None, word, candidate[: len(word) + 1]).ratio() if len(word) > 3 else 0.0
        return max(whole, start)

    best = max(known, key=likeness, default=None)
    return best if best is not None and likeness(best) >= cutoff else None
