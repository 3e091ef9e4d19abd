"""Who leads, and since when nobody does: one line in the log a change, numbers for /status, and what follows for calls.

When another node leads, calls that the leader before it has not answered will mostly never be answered. When the same
leader is reached another way (`leader_ways.py`), the former way may be silent. So the calls on it end, as unknown: at
once if the leader was not heard that way for an election timeout T, as behind a cut that leaves the connection open,
and otherwise when T has passed since. A leader that has just handed over is alive, as is a peer that is needed no more,
and within that time they answer with more than "unknown".

While nobody leads, an election can succeed only if a majority is heard. `may_expect` says when to give up hope.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from quorate.cluster.raft.line_limit import ChangeLines

HOPE_TIMEOUTS = 2  # so many election timeouts without a leader, and a node that hears no majority expects none
FIRST_LEADER_S = 5.0  # a node that has just started says only after this time that it knows no leader

EndCalls = Callable[[str, float, str], None]  # the peer, within how many seconds, and what their callers are told

log = logging.getLogger(__name__)


class Sight(NamedTuple):
    """What a node sees of leadership in one tick."""

    leader: str | None  # believed in and reached; or this node itself
    term: int
    silent_s: float  # since that leader was heard; 0 if it is this node
    via: str | None = None  # the peer over which it is reached, if this node does not hear it

    @property
    def hop(self) -> str | None:
        """The node that calls to the leader are sent to."""
        return self.via or self.leader


class LeaderWatch:
    """Ticked by the replica. Times are those of the engine's clock, in seconds."""

    def __init__(self, node_id: str, election_s: float, now_s: float, end_calls: EndCalls) -> None:
        self._node_id, self._election_s, self._end_calls = node_id, election_s, end_calls
        self._last: str | None = None  # the last leader that was known, perhaps this node
        self._last_hop: str | None = None  # where calls to it went
        self._last_term = 0
        self._heard_s = now_s  # when it was last heard; before there is one: the start
        self._missing_since_s: float | None = now_s  # since when no leader is known; None: one is known
        self._missing_s = 0.0  # in all times without a leader that have ended
        self._now_s = now_s
        self._told_missing = False
        self._lines = ChangeLines(log)
        self._word_s = now_s  # when a leader's own word came last, this node's included; before: the start
        self.changes = 0  # of the leader or its term

    def tick(self, now_s: float, sight: Sight) -> None:
        self._now_s = now_s
        self._lines.check(now_s)
        if sight.leader is None:
            self._is_missing(now_s)
            return
        if (sight.leader, sight.term) != (self._last, self._last_term):
            self._is_new(now_s, sight)
        elif sight.hop != self._last_hop or self._told_missing:
            self._is_reached_again(now_s, sight)
        if self._missing_since_s is not None:
            self._missing_s += now_s - self._missing_since_s
        self._missing_since_s, self._told_missing = None, False
        self._heard_s = now_s - sight.silent_s
        if sight.via is None:
            self._word_s = self._heard_s

    def _is_missing(self, now_s: float) -> None:
        if self._missing_since_s is None:
            self._missing_since_s = now_s
        wait_s = self._election_s if self._last else max(FIRST_LEADER_S, self._election_s)
        if self._told_missing or now_s - self._missing_since_s < wait_s:
            return
        self._told_missing = True
        silent_s = now_s - self._heard_s
        if self._last is None:
            self._say(logging.WARNING, f"no leader is known since this node started, {silent_s:.1f} s ago")
        elif self._last == self._node_id:
            self._say(logging.WARNING, f"no leader is known since this node led term {self._last_term}")
        else:
            was = f"{self._last}, which led term {self._last_term}, was last heard {silent_s:.1f} s ago"
            self._say(logging.WARNING, f"no leader is known: {was}")

    def _is_new(self, now_s: float, sight: Sight) -> None:
        self._leave_hop(now_s, sight)
        self._last, self._last_term = sight.leader, sight.term
        self.changes += 1
        if sight.leader != self._node_id:
            over = "" if sight.via is None else f" and is reached over {sight.via}"
            self._say(logging.INFO, f"{sight.leader} leads term {sight.term}{over}{self._how_long(now_s)}")

    def _is_reached_again(self, now_s: float, sight: Sight) -> None:
        """The same leader is known again, or over another way."""
        self._leave_hop(now_s, sight)
        how = "is heard again" if sight.via is None else f"is not heard, but reached over {sight.via},"
        self._say(logging.INFO, f"{sight.leader} {how} and leads term {sight.term}{self._how_long(now_s)}")

    def _leave_hop(self, now_s: float, sight: Sight) -> None:
        """End the calls to the node that requests went to before, if another one is asked now."""
        before, self._last_hop = self._last_hop, sight.hop
        if before is None or before in (self._node_id, sight.hop):
            return
        left_s = max(0.0, self._heard_s + self._election_s - now_s)
        now = "leads now" if sight.leader != self._last else "is reached another way now"
        self._end_calls(
            before, left_s, f"{before} did not answer, and {sight.leader} {now}; send it again with the same id"
        )

    def _how_long(self, now_s: float) -> str:
        since_s = self._missing_since_s
        return "" if since_s is None else f", after {now_s - since_s:.2f} s without a leader"

    def _say(self, level: int, line: str) -> None:
        self._lines.write(level, line, self._now_s)

    def own_leadership(self, leads: bool, term: int, why: str) -> None:
        """This node leads now, or leads no more for a reason."""
        self._say(logging.INFO, f"this node leads in term {term}" if leads else f"this node leads no more: {why}")

    @property
    def term(self) -> int:
        """The term of the last leader that was known; 0 if none was."""
        return self._last_term

    # ---- what it knows ----------------------------------------------------------------------------------------------

    def may_expect(self, hears_majority: bool) -> bool:
        """Whether a leader is known, or may be soon."""
        since_s = self._missing_since_s
        return since_s is None or hears_majority or self._now_s - since_s < HOPE_TIMEOUTS * self._election_s

    @property
    def silent_ms(self) -> int:
        """How long this node has heard no word of a leader, or led itself; before there was one: since it started."""
        return int((self._now_s - self._word_s) * 1000)

    @property
    def missing_s(self) -> float:
        """How long no leader was known since this node started, in all."""
        since_s = self._missing_since_s
        return self._missing_s + (0.0 if since_s is None else self._now_s - since_s)
