"""What a series of pauses without writes comes to: one line, the same wherever faults are counted in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile_s(gaps_s: Sequence[float], share: float) -> float:
    """The smallest gap that `share` of all gaps do not exceed (nearest rank): of few gaps, p99 is the longest."""
    return sorted(gaps_s)[max(0, math.ceil(share * len(gaps_s)) - 1)]


def in_words(gaps_s: Sequence[float]) -> str:
    p50, p99 = percentile_s(gaps_s, 0.5), percentile_s(gaps_s, 0.99)
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {max(gaps_s):.2f} s, min {min(gaps_s):.2f} s"
