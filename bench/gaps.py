"""Sums up a series of times without writes in one line, the same in benches and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile_s(gaps_s: Sequence[float], share: float) -> float:
    """The percentile by nearest rank. Of few gaps, p99 is the longest gap."""
    return sorted(gaps_s)[max(0, math.ceil(share * len(gaps_s)) - 1)]


def in_words(gaps_s: Sequence[float]) -> str:
    p50, p99 = percentile_s(gaps_s, 0.5), percentile_s(gaps_s, 0.99)
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {max(gaps_s):.2f} s, min {min(gaps_s):.2f} s"
