"""The ids of posts on X: the milliseconds since an epoch of their own, and 22 bits that make them unique."""

from __future__ import annotations

EPOCH_MS = 1_288_834_974_657
BITS = 22


def id_at(unix_ms: float) -> int:
    """The lowest id of a post that is written then. At least 1: no search begins before it."""
    return max(1, (int(unix_ms) - EPOCH_MS) << BITS)


def ms_of(id: int) -> int:
    return (id >> BITS) + EPOCH_MS
