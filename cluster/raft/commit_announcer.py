"""Tells followers of a commit, unless the next entries have told them: those carry the commit index, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quorate.cluster.raft.engine.engine import Engine
from quorate.crash_points import crash_point

ANNOUNCE_S = 0.01  # how long the next entries are waited for


class CommitAnnouncer:
    """Used on the loop. `run` makes a step of the engine, if the replica may still make one."""

    def __init__(self, run: Callable[[Callable[[], None]], object]) -> None:
        self._run = run
        self._timer: asyncio.TimerHandle | None = None

    def note(self, engine: Engine) -> None:
        """Called when this leader may have committed something."""
        if self._timer is None and engine.commit_unannounced():
            self._timer = asyncio.get_running_loop().call_later(ANNOUNCE_S, self._due, engine)

    def _due(self, engine: Engine) -> None:
        self._timer = None
        crash_point("commit-before-announce")
        self._run(engine.announce_commit)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
