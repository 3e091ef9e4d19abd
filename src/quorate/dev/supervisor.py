"""Node processes: started, watched, stopped, and none left behind.

Each node has a process group of its own, so Ctrl-C in the terminal reaches only the supervisor, which then stops them.
Each node holds the reading end of a pipe whose writing end is the supervisor's alone: when the supervisor dies, however
it dies, the nodes it started stop by themselves. A node that somebody killed and started by hand belongs to this
cluster too: it is found by its pid file, and stopped with the others.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from quorate import pidfile
from quorate.dev.folder import Place

STOP_DEADLINE_S = 15.0
RESTART_BACKOFF_S, RESTART_BACKOFF_MAX_S = 0.5, 10.0
HEALTHY_AFTER_S = 10.0


@dataclass(slots=True)
class Child:
    place: Place
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    backoff_s: float = RESTART_BACKOFF_S
    restart_at_s: float | None = None
    code: int | None = None  # how it ended

    @property
    def pid(self) -> int | None:
        """Of whoever runs this node now, started here or by hand."""
        if self.process is not None and self.process.poll() is None:
            return self.process.pid
        return pidfile.running(self.place.folder)


class Supervisor:
    def __init__(self, places: list[Place], env: Mapping[str, str], *, restart: bool) -> None:
        self.children = [Child(place) for place in places]
        self._env = dict(env)
        self._restart = restart
        self._pipe, self._alive = os.pipe()

    def start(self, child: Child, *flags: str) -> None:
        command = [sys.executable, "-P", "-m", "quorate", "node", "--config", str(child.place.config)]
        with open(child.place.log, "ab") as log:
            child.process = subprocess.Popen(
                [*command, "--parent-fd", str(self._pipe), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                pass_fds=(self._pipe,),
                start_new_session=True,
            )
        child.started_s, child.restart_at_s, child.code = time.monotonic(), None, None

    def look(self) -> list[Child]:
        """Notice who ended since the last look; start again who is due. Returns those who ended."""
        ended = []
        now_s = time.monotonic()
        for child in self.children:
            if child.process is not None and (code := child.process.poll()) is not None:
                child.process, child.code = None, code
                ended.append(child)
                self._plan_restart(child, now_s)
            elif child.restart_at_s is not None and now_s >= child.restart_at_s:
                child.restart_at_s = None
                if child.pid is None:
                    self.start(child)
        return ended

    def _plan_restart(self, child: Child, now_s: float) -> None:
        if not self._restart:
            return
        if now_s - child.started_s > HEALTHY_AFTER_S:
            child.backoff_s = RESTART_BACKOFF_S
        child.restart_at_s = now_s + child.backoff_s
        child.backoff_s = min(child.backoff_s * 2, RESTART_BACKOFF_MAX_S)

    def stop(self, *, at_once: bool = False) -> None:
        """Ask all nodes to stop, and those that do not by the deadline are killed. Called again it kills at once."""
        self._restart = False
        self._signal(signal.SIGKILL if at_once else signal.SIGTERM)
        deadline_s = time.monotonic() + (2.0 if at_once else STOP_DEADLINE_S)
        while self._running() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        if self._running():
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        os.close(self._alive)
        os.close(self._pipe)

    def _running(self) -> list[int]:
        return [pid for child in self.children if (pid := child.pid) is not None]

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._running():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def tail(place: Place, lines: int = 12) -> str:
    """The end of a node's log."""
    try:
        with open(place.log, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
            return b"\n".join(log.read().splitlines()[-lines:]).decode(errors="replace")
    except FileNotFoundError:
        return ""
