"""When a node looks for peers that its settings name and its log does not.

All members that the log names may have left while this node was away, and those that took over may look for it where it
was. Then only its settings (`raft.peers`, or Consul) know the way, also to the news that it was removed. They may also
name nodes that left long ago, so they are asked only while this node has no leader, for longer than an election takes.
"""

from __future__ import annotations

WITHOUT_LEADER_TIMEOUTS = 4  # so many election timeouts without a leader


class Search:
    """Ticked by `Membership`; times in seconds. `is_on`: now."""

    def __init__(self, election_s: float, now_s: float) -> None:
        self._wait_s = WITHOUT_LEADER_TIMEOUTS * election_s
        self._led_s = now_s  # when a leader was known last; before there is one: the start
        self.is_on = False

    def changes(self, leader: str | None, now_s: float) -> bool:
        """Whether it begins or ends in this tick."""
        if leader is not None:
            self._led_s = now_s
        before, self.is_on = self.is_on, now_s - self._led_s >= self._wait_s
        return before != self.is_on
