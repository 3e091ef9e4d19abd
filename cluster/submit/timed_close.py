"""Closes polls that are due although nobody votes: the leader proposes an entry that has only a time.

The state machine's time moves only with entries (see `fsm.py`). In a busy cluster any entry of votes closes the polls
that are due. This is for a quiet cluster.
"""

from __future__ import annotations

import asyncio

from quorate.cluster import entry
from quorate.cluster.fsm import Applied
from quorate.cluster.replica import Replica
from quorate.crash_points import crash_point

CHECK_S = 0.1


class TimedClose:
    """Runs on the node's loop, from `start` to `stop`."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._timer: asyncio.TimerHandle | None = None
        self._proposed: asyncio.Future[Applied] | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._check)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self.start()
        replica = self._replica
        due_ms = replica.state.next_close_ms() if replica.is_leader else None
        if due_ms is None or (self._proposed is not None and not self._proposed.done()):
            return
        now_ms = replica.now_ms()
        if now_ms >= due_ms:
            self._proposed = replica.propose(entry.encode_entry(now_ms, []))
            crash_point("close-proposed")
            # If the entry is lost, the next check proposes another one.
            self._proposed.add_done_callback(lambda done: done.exception())
