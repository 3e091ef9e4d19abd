"""The dedup table never holds more than its window allows: one generation that fills, and the one before it."""

from __future__ import annotations

from quorate.chaos.checkers.findings import Findings
from quorate.chaos.history import NodeLook
from quorate.words import count


def check_memory(look: NodeLook, place: int, window: int, findings: Findings) -> None:
    if not look.dedup_ids:
        return
    findings.count("memory", "looks at nodes")
    if look.dedup_ids > 2 * window:
        words = f"{look.node} holds {count(look.dedup_ids, 'id')}; a window of {window} allows twice as many"
        findings.violate("memory", words, [place])
