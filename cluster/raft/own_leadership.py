"""Whether this node leads, as the rest of the node is told it: when that begins and ends, and handing it over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.handover import hand_over
from quorate.cluster.raft.local_state import notify


class OwnLeadership:
    """`began_or_ended` is called before all listeners."""

    def __init__(self, began_or_ended: Callable[[bool], None]) -> None:
        self._began_or_ended = began_or_ended
        self._listeners: list[Callable[[bool], None]] = []
        self._leads = False
        self.handing_over = False  # nothing may be proposed meanwhile

    def listen(self, listener: Callable[[bool], None]) -> None:
        self._listeners.append(listener)

    def note(self, leads: bool) -> None:
        """What is true now. Listeners are told if it was not so before."""
        if leads != self._leads:
            self._leads = leads
            self._began_or_ended(leads)
            for listener in self._listeners:
                notify(listener, leads)

    async def transfer(self, engine: Engine, *, is_running: Callable[[], bool], guard: Callable[..., Any]) -> bool:
        """Let another voter lead: False if there is none, or none that took over in time."""
        if engine.voters() == {engine.node_id}:
            return False
        self.handing_over = True
        try:
            return await hand_over(engine, is_running=is_running, guard=guard)
        finally:
            self.handing_over = False
