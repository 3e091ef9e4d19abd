"""How far a node is behind what is committed, as far as it was told: in entries, and in time."""

from __future__ import annotations


class CatchUp:
    """The time is that since this node was told of a commit that it has not applied yet.

    A node that applies everything a moment late stays near zero: as soon as one commit is applied, the newest one is
    waited for. Times are those of the engine's clock, in seconds.
    """

    def __init__(self) -> None:
        self._goal = 0  # a committed index that is waited for
        self._told_s = 0.0  # when it was noted
        self._now_s = 0.0
        self.entries = 0

    def tick(self, now_s: float, applied: int, committed: int) -> None:
        self._now_s = now_s
        self.entries = max(0, committed - applied)
        if applied >= self._goal:
            self._goal, self._told_s = committed, now_s

    @property
    def seconds(self) -> float:
        return self._now_s - self._told_s if self.entries else 0.0
