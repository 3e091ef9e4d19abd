"""What a run is asked to reach: of all situations on the list, those that its faults and its time surely reach.

A clean run that missed one of these shows less than it seems to, so it is inconclusive. A situation that needs luck is
asked for only where its faults come often enough.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

STEP_S = 3.2  # a fault takes about so long with the pause before it, repairs included

LEADER_DIES = frozenset({"kill-leader", "kill-all", "power-cut-leader", "power-cut-all"})
LEADER_GOES = (
    LEADER_DIES
    | {"kill-majority"}
    | {"pause-leader", "partition-leader", "partition-deaf", "partition-mute", "stop-leader"}
)
CUTS = frozenset({"partition-leader", "partition-minority", "partition-deaf", "partition-mute"})


@dataclass(frozen=True, slots=True)
class ToReach:
    """`faults`: one of these brings it about; None: none is needed. `chances`: so many of them, to be sure."""

    name: str
    faults: frozenset[str] | None
    chances: float
    after_s: float = 20.0


LIST = (
    ToReach("duplicate-answer", None, 0),
    ToReach("vote-refused-as-closed", None, 0),
    ToReach("poll-closed-by-its-time", None, 0, 30),
    ToReach("old-epoch-refused", None, 0, 40),
    ToReach("poll-opened-again", None, 0, 60),
    ToReach("leader-killed-with-votes-in-flight", frozenset({"kill-leader", "kill-all"}), 1),
    ToReach("unknown-outcome-had-counted", LEADER_GOES, 4),
    ToReach("unknown-outcome-had-not-counted", LEADER_GOES, 4),
    ToReach("resend-answered-by-another-leader", LEADER_GOES, 2),
    ToReach("redis-resend-answered-by-another-leader", LEADER_GOES, 4),
    ToReach("sink-written-by-another-leader", LEADER_GOES, 2),
    ToReach("election-under-a-partition", CUTS, 2),
    ToReach("poll-closed-during-a-fault", frozenset(), 10),
    ToReach("session-taken-over-during-a-fault", frozenset(), 10, 60),
    ToReach("vote-over-two-hops", frozenset({"partition-leader-link"}), 3),
    ToReach("flush-by-a-deposed-leader-refused", frozenset({"leader-paused-in-flush"}), 3, 60),
    ToReach("snapshot-installed-during-a-partition", frozenset({"partition-late-snapshot"}), 3, 60),
    ToReach("node-back-from-an-old-disk", frozenset({"old-copy"}), 1),
)


def asked_of(faults: Collection[str], duration_s: float) -> list[str]:
    """The names that a run with these faults and this long is asked for."""
    each = duration_s / STEP_S / max(1, len(faults))  # how often one kind comes

    def chances(wanted: ToReach) -> float:
        fitting = faults if not wanted.faults else wanted.faults & set(faults)
        return each * len(fitting)

    return [
        wanted.name
        for wanted in LIST
        if duration_s >= wanted.after_s and (wanted.faults is None or (faults and chances(wanted) >= wanted.chances))
    ]
