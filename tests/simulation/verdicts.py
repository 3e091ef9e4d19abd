"""What a simulated history came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class SimVerdict:
    seed: int
    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    snapshots: int = 0
    terms: int = 0
    messages: int = 0
    put_back: int = 0  # old copies of disks
    found_out: int = 0  # of them
    creations: int = 0  # of polls under one name
    shares: dict[int, int] = field(default_factory=dict)  # of the dedup window, and how many ids each holds
    digest: str = ""
    checked: dict[str, int] = field(default_factory=dict)  # of a history of whole nodes: what its checkers looked at
    seen: Counter[str] = field(default_factory=Counter)  # situations, see `situations.py`
    broken: list[str] = field(default_factory=list)
