"""What random histories must have come through: each at least once in a thousand seeds, or the faults are too tame."""

from __future__ import annotations

from collections import Counter

from quorate.crash_points import POINTS
from tests.simulation.fault_shares import FAULT_SHARES
from tests.simulation.operations import OPERATIONS

DIED = "died at "
IN_HISTORY = "history: "
OF_WHOLE_NODES = (
    "duplicate-answer",
    "resend-answered-by-another-leader",
    "unknown-outcome-had-counted",
    "unknown-outcome-had-not-counted",
    "vote-refused-as-closed",
    "poll-closed-by-its-time",
    "poll-opened-again",
    "old-epoch-refused",
    "read-of-an-older-version",
    "sink-written-by-another-leader",
)
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
    "sink",
    "message delivered again",
    "poll put into the sink by hand",
    *(f"{IN_HISTORY}{each}" for each in OF_WHOLE_NODES),
)
POINTS_MIN = 25  # of the points, at which nodes died


def missed(seen: Counter[str]) -> list[str]:
    """The situations that did not happen."""
    points = len(died_at(seen))
    few = [f"only {points} crash points"] if points < POINTS_MIN else []
    return [*(each for each in SITUATIONS if not seen[each]), *few]


def died_at(seen: Counter[str]) -> list[str]:
    return [point for point in POINTS if seen[DIED + point]]


def table(seen: Counter[str]) -> str:
    return "\n".join(f"{times:9,} {situation}" for situation, times in seen.most_common())
