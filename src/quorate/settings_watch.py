"""Tells when this node's settings differ from the cluster's, or from the leader's where all nodes should be alike.

Each new leader is asked at once, and then once a minute, because the file of tokens may change while a node runs; its
other settings do not. What differs is one line in the
log for each change of it, and a line of /readyz. It never makes a node unready: the cluster counts all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from quorate.cluster.raft.line_limit import Reminders
from quorate.cluster.replica import Replica
from quorate.cluster_settings import SETTABLE, ClusterSettings
from quorate.errors import QuorateError
from quorate.http.api import CheckResult

CHECK_S = 1.0
COMPARE_AGAIN_S = 60.0
DEFECT = "a defect of our own"

log = logging.getLogger(__name__)


class SettingsWatch:
    """Runs on the node's loop. `is_known`: this node has all that the cluster had when it started."""

    def __init__(self, replica: Replica, settings: ClusterSettings, *, is_known: Callable[[], bool]) -> None:
        self._replica, self._settings, self._is_known = replica, settings, is_known
        self._task: asyncio.Task[None] | None = None
        self._compared_with: tuple[str, int] | None = None  # the leader whose settings were compared last, and its term
        self._compared_s = 0.0  # when that was
        self._against_leader: Sequence[str] = ()
        self._told: Sequence[str] = ()  # what was told in the log, and is so still
        self._troubles = Reminders()
        self._held: dict[str, object] = {}  # the cluster's settings when they were looked at last

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def check(self) -> CheckResult:
        """For /readyz, where it never fails."""
        differs = self._differs()
        if not differs:
            return CheckResult(True, "as the cluster has them")
        return CheckResult(True, f"{len(differs)} not as the cluster has them", "; ".join(differs))

    def _differs(self) -> list[str]:
        held = self._settings.against_cluster() if self._replica.state.cluster_id and self._is_known() else []
        return [*held, *self._against_leader]

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
                self._troubles.over(DEFECT)
            except Exception as error:  # a defect of our own: it must not end the watch, nor fill the log
                if self._troubles.allow(DEFECT, type(error).__name__, asyncio.get_running_loop().time()):
                    log.exception("the settings could not be compared; trying on")
            await asyncio.sleep(CHECK_S)

    async def look(self) -> None:
        leader = self._replica.leader
        if leader is None or not self._replica.state.cluster_id or not self._is_known():
            return
        self._note_changes()
        leadership, now_s = (leader, self._replica.term), asyncio.get_running_loop().time()
        if leadership != self._compared_with or now_s - self._compared_s >= COMPARE_AGAIN_S:
            try:
                self._against_leader = await self._settings.against(leader)
                self._compared_with, self._compared_s = leadership, now_s
            except QuorateError:  # it is asked again; the cluster's settings are told meanwhile
                self._against_leader, self._compared_with = (), None
        differs = self._differs()
        if news := [words for words in differs if words not in self._told]:
            log.warning("%s", "; ".join(news))
        # While the leader cannot be asked, nobody knows whether what was told against it is so no more.
        self._told = differs if leadership == self._compared_with else [*self._told, *news]

    def _note_changes(self) -> None:
        for name, settable in SETTABLE.items():
            value = settable.held(self._replica.state)
            if value != self._held.get(name) and (why := self._settings.small_window()) is not None:
                log.warning("%s", why)
            before = self._held.setdefault(name, value)
            if value != before:
                self._held[name] = value
                log.info("%s is %s in the cluster now, and was %s", name, value, before)
