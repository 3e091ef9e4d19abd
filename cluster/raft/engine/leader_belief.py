"""Whether a follower still believes in the leader that it heard last.

Belief ends when the leader has been silent for one election timeout T: from then on this node would help to elect
another one (Raft thesis 4.2.3). A leader without a majority sends nothing, so its followers on the same side of a
partition do not believe in it either, though the connection to it stays open.

Silence is counted only while this node was awake. After a stall (a paused process, a busy loop) the leader's messages
may still wait to be read. So a pause between two ticks counts as a fifth of T at most.
"""

from __future__ import annotations

STEPS = 5  # a pause between two ticks counts as this part of the election timeout at most


class LeaderBelief:
    """Times are those of the engine's clock, in seconds."""

    def __init__(self, election_s: float) -> None:
        self._election_s = election_s
        self._silent_s = 0.0
        self._ticked_s: float | None = None
        self.holds = False

    def heard(self) -> None:
        """The leader spoke."""
        self._silent_s = 0.0
        self.holds = True

    def end(self) -> None:
        """The connection to the leader broke: believe in it again when it has spoken."""
        self.holds = False

    def tick(self, now_s: float) -> None:
        """Called every few milliseconds while this node is awake."""
        if self._ticked_s is not None:
            self._silent_s += min(now_s - self._ticked_s, self._election_s / STEPS)
        self._ticked_s = now_s
        if self._silent_s >= self._election_s:
            self.holds = False
