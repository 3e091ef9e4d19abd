"""What random histories must have come through: each at least once in a thousand seeds, or the faults are too tame."""

from __future__ import annotations

from collections import Counter

from quorate.crash_points import POINTS
from tests.simulation.fault_shares import FAULT_SHARES
from tests.simulation.operations import OPERATIONS

DIED = "died at "
NOT_HERE = {  # points of the parts that a history of replicas alone does not have
    "identity-before-rename",
    "identity-after-rename",
    "answer-before-send",
    "session-opened",
    "close-proposed",
    "flush-before-write",
    "flush-before-note",
    "import-before-note",
}
SITUATIONS = (
    *FAULT_SHARES,
    *dict.fromkeys(OPERATIONS),
    "election",
    "leader killed",
    "leader killed with votes in flight",
    "unsynced writes lost",
    "snapshot installed",
    "snapshot installed while links are cut",
    "old disk found out",
    "outcome unknown",
    "unknown outcome that had counted",
    "unknown outcome that had not",
    "unknown outcome settled by a later leader",
    "linearizable read",
    "linearizable read on a follower",
    "poll created anew",
)
POINTS_MIN = 25  # of the points at which a replica can die


def missed(seen: Counter[str]) -> list[str]:
    """The situations that did not happen."""
    points = len(died_at(seen))
    few = [f"only {points} crash points"] if points < POINTS_MIN else []
    return [*(each for each in SITUATIONS if not seen[each]), *few]


def died_at(seen: Counter[str]) -> list[str]:
    return [point for point in POINTS if seen[DIED + point]]


def table(seen: Counter[str]) -> str:
    return "\n".join(f"{times:9,} {situation}" for situation, times in seen.most_common())
