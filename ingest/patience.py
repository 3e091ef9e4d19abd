"""How long messages wait whose votes name an option or a poll that nobody knows.

People put a poll into their database and publish votes for it at once. The votes may come first. The leader then
searches its sinks, and the votes are tried again: after a second at first, and then after as long as they have waited
already. When the time is over they become dead letters. A bounded number of messages waits at a time. So rubbish keeps
neither the queue nor the log busy.

A message that is given back may come again to another node, which has not seen it before. So a message waits the given
time once on each node at the most.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from quorate.ingest.queue import Delivery

WAITING_MAX = 10_000  # messages at a time, on one node
PAUSE_MIN_S = 1.0
FORGET_AFTER = 2.0  # times the wait: another node has counted or buried the message since

UNKNOWN = frozenset(("unknown_option", "unknown_poll"))


class Patience:
    """If `wait_s` is 0, nothing waits."""

    def __init__(self, wait_s: float, *, waiting_max: int = WAITING_MAX) -> None:
        self._wait_s, self._waiting_max = wait_s, waiting_max
        self._since_s: dict[str, float] = {}  # identity -> when it was first found unknown; oldest first

    def admits(self, identity: str) -> bool:
        """Whether this message may wait. False if it is a new one and too many others wait."""
        if self._wait_s <= 0 or identity in self._since_s:
            return True
        self._forget_old()
        return len(self._since_s) < self._waiting_max

    def pause_s(self, identity: str) -> float:
        """How long the message shall wait until it is tried again. 0 if it has waited long enough."""
        now_s = time.monotonic()
        waited_s = now_s - self._since_s.setdefault(identity, now_s)
        left_s = self._wait_s - waited_s
        return min(max(PAUSE_MIN_S, waited_s), left_s) if left_s > 0 else 0.0

    def forget(self, finished: Iterable[Delivery]) -> None:
        """These messages do not come again."""
        if self._since_s:
            for delivery in finished:
                self._since_s.pop(delivery.identity, None)

    def _forget_old(self) -> None:
        old_s = time.monotonic() - FORGET_AFTER * self._wait_s
        while self._since_s and self._since_s[first := next(iter(self._since_s))] < old_s:
            del self._since_s[first]
