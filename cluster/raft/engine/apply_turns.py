"""When a follower applies heavy entries: every second one a moment later than the others.

An entry of ten thousand votes takes a node some ten milliseconds to apply, in one go. All nodes learn at about the same
time that it is committed. If they all applied it then, no majority would take the entries behind it meanwhile. So every
second follower, in the order of their ids, waits a moment with it. The leader and the rest are a majority.
"""

from __future__ import annotations

from collections.abc import Collection

HEAVY_BYTES = 64 * 1024
LATER_S = 0.03  # what waited then is applied without a further wait: a stream of heavy entries makes no queue


class ApplyTurns:
    """Of one node."""

    def __init__(self) -> None:
        self._due_s: float | None = None  # when the heavy entries that wait are applied
        self._up_to = 0  # entries up to this index do not wait

    def may_apply(self, index: int, commit_index: int, now_s: float) -> bool:
        """Whether a follower that lets others go first applies this heavy entry now. If not, it asks again later."""
        if index <= self._up_to:
            return True
        if self._due_s is None:
            self._due_s = now_s + LATER_S
        if now_s < self._due_s:
            return False
        self._due_s, self._up_to = None, commit_index
        return True


def lets_others_go_first(node: str, leader: str | None, voters: Collection[str]) -> bool:
    followers = sorted(voter for voter in voters if voter != leader)
    return node in followers and followers.index(node) % 2 == 1
