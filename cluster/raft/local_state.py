"""The state machine of this node, with the clock that learns from its entries and the listeners that hear of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

from quorate.cluster.fsm import Applied, StateMachine
from quorate.cluster.raft.leader_clock import LeaderClock
from quorate.measures import SHORT_SECONDS, Histogram

log = logging.getLogger(__name__)


class LocalState:
    """What has been applied here. A snapshot may replace the state machine, so always ask for `current`."""

    def __init__(self, clock: LeaderClock) -> None:
        self.current = StateMachine()
        self._clock = clock
        self._listeners: list[Callable[[Applied], None]] = []
        self.last_apply_s = 0.0, 0.0  # from, until
        self.apply_times = Histogram(SHORT_SECONDS)  # of entries, without what listeners take

    def on_applied(self, listener: Callable[[Applied], None]) -> None:
        self._listeners.append(listener)

    def apply(self, payload: bytes, *, live: bool) -> Applied:
        """Apply an entry. `live` says that the current leader has just made it, so that its time is the present."""
        began_s = perf_counter()
        applied = self.current.apply(payload)
        self.last_apply_s = began_s, (ended_s := perf_counter())
        self.apply_times.add(ended_s - began_s)
        self._clock.observe(applied.time_ms, live=live)
        self._tell(applied)
        return applied

    def raise_level(self, payload: bytes) -> Applied:
        """Apply an entry that raises the feature level."""
        applied = self.current.raise_level(payload)
        self._tell(applied)
        return applied

    def _tell(self, applied: Applied) -> None:
        for listener in self._listeners:
            notify(listener, applied)

    def load(self, state: StateMachine) -> None:
        """Begin with the state of a snapshot that was on disk at start. No listener is told."""
        self.current = state

    def replace(self, state: StateMachine) -> None:
        """Use the state of a snapshot that the leader sent. Listeners are told that every poll may have changed, also
        those that are gone."""
        polls = dict.fromkeys(poll.id for each in (self.current, state) for poll in each.polls())
        self.current = state
        self._tell(Applied(state.version, state.time_ms, [], (), polls))


def notify(listener: Callable[[Any], None], news: Any) -> None:
    """Call a listener of another part. If it fails, that is logged and the replica goes on."""
    try:
        listener(news)
    except Exception:
        log.exception("a listener failed; the replica goes on")
