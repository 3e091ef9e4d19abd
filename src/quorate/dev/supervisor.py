"""The nodes of `quorate dev`: those that end are noticed, and started again if the user wants that.

A node that somebody killed and started by hand belongs to this cluster too: its pid file tells which process it is, and
it is stopped with the others. When `quorate dev` itself dies, however it dies, the nodes stop by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from quorate.exit_code import HALTED, REMOVED
from quorate.processes.cluster import NodeCluster
from quorate.processes.node import NodeProcess, Place
from quorate.processes.process import Lifeline

STOP_DEADLINE_S = 15.0
RESTART_BACKOFF_S, RESTART_BACKOFF_MAX_S = 0.5, 10.0
HEALTHY_AFTER_S = 10.0


class Child:
    """A node, when it was started, and when it will be started again."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.restart_at_s: float | None = None
        self.code: int | None = None  # exit status of its last run
        self._watched = False  # it was started, and its end has not been noticed yet
        self._started_s = 0.0
        self._backoff_s = RESTART_BACKOFF_S

    @property
    def place(self) -> Place:
        return self.node.place

    @property
    def pid(self) -> int | None:
        """The process that runs this node now, started here or by hand."""
        return self.node.holder()

    @property
    def removed(self) -> bool:
        """Whether it ended because the cluster has no such member any more. It is not started again then."""
        return self.code == REMOVED

    def start(self, *flags: str) -> None:
        self.node.start(*flags)
        self._watched, self._started_s = True, time.monotonic()
        self.restart_at_s = self.code = None

    def has_ended(self) -> bool:
        """Whether it ended since the last call."""
        if not self._watched or self.node.running:
            return False
        self._watched, self.code = False, self.node.exit_status
        return True

    def plan_restart(self) -> None:
        """Each restart waits twice as long as the one before, until the node has run well for a while."""
        now_s = time.monotonic()
        if now_s - self._started_s > HEALTHY_AFTER_S:
            self._backoff_s = RESTART_BACKOFF_S
        self.restart_at_s = now_s + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, RESTART_BACKOFF_MAX_S)

    def restart_if_due(self) -> None:
        if self.restart_at_s is not None and time.monotonic() >= self.restart_at_s:
            self.restart_at_s = None
            if self.pid is None:
                self.start()


class Supervisor:
    """`env` is added to what the nodes inherit. Used by one thread, but `stop` also by a signal handler."""

    def __init__(self, places: Sequence[Place], env: Mapping[str, str], *, restart: bool) -> None:
        self._lifeline = Lifeline()
        nodes = [NodeProcess(place, env=env, lifeline=self._lifeline, dies_with_us=False) for place in places]
        self.children = [Child(node) for node in nodes]
        self._cluster = NodeCluster(nodes)
        self._restart = restart

    def poll(self) -> list[Child]:
        """Start again the nodes that are due. Returns those that ended since the last call."""
        ended = []
        for child in self.children:
            if child.has_ended():
                ended.append(child)
                if self._restart and child.code not in (REMOVED, HALTED):
                    child.plan_restart()
            else:
                child.restart_if_due()
        return ended

    def stop(self, *, at_once: bool = False) -> None:
        """Ask all nodes to stop; those that still run at the deadline are killed. Called again, it kills at once."""
        self._restart = False
        self._cluster.stop(STOP_DEADLINE_S, at_once=at_once)

    def close(self) -> None:
        self._lifeline.close()
