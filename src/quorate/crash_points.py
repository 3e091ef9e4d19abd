"""Places in the code at which a test can let the process die: one call a place, with a name of its own.

Nothing is armed in a node. `chaos/victim` and the simulation arm one point at a time. A call costs some 40 ns then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

Point = Literal[
    # The log
    "journal-before-write",
    "journal-after-write",
    "journal-synced-untold",
    "segment-before-write",
    "segment-before-remove",
    "segment-after-remove",
    "log-replaced-before-remove",
    # Who this disk is
    "identity-before-rename",
    "identity-after-rename",
    # Snapshots
    "snapshot-mid-write",
    "snapshot-before-rename",
    "snapshot-after-rename",
    "compaction-before-cut",
    "snapshot-piece-before-send",
    "snapshot-piece-received",
    "snapshot-received",
    "install-before-reset",
    "install-before-state",
    # Elections
    "candidacy-before-write",
    "ballot-before-write",
    "ballot-before-send",
    "leader-elected",
    "handover-asked",
    # Replication
    "entries-sent-before-write",
    "entries-before-store",
    "promise-before-send",
    "commit-before-apply",
    "commit-before-announce",
    "apply-before-answer",
    # Members
    "members-proposed",
    "members-committed",
    # Votes
    "batch-proposed",
    "batch-forwarded",
    "forwarded-batch-proposed",
    "forwarded-batch-before-answer",
    "answer-before-send",
    "session-opened",
    "close-proposed",
    # Sinks
    "flush-before-write",
    "flush-before-note",
    "import-before-note",
]
POINTS: tuple[Point, ...] = get_args(Point)


class _Armed:
    def __init__(self, point: str, count: int, die: Callable[[], None]) -> None:
        self.point, self.left, self.die = point, count, die


_armed: list[_Armed] = []  # one at the most


def crash_point(point: Point) -> None:
    """The process dies here if it was told to."""
    if _armed:
        _reach(point)


def arm(point: str, count: int, die: Callable[[], None]) -> None:
    """Call `die` at the `count`-th time from now that this point is reached. Raises ValueError if there is none."""
    if point not in POINTS:
        raise ValueError(f"there is no crash point {point!r}")
    _armed[:] = [_Armed(point, count, die)]


def disarm() -> None:
    _armed.clear()


def _reach(point: str) -> None:
    for armed in _armed:
        if armed.point == point:
            armed.left -= 1
            if armed.left == 0:
                armed.die()
