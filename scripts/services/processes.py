"""Processes that belong to one folder. They are started apart from the terminal, and stopped for certain.

A pid alone proves nothing: another process may have it by the time it is read. So the record of a process also holds
the time of its start, and a process with another start time gets no signal. The child process writes its own record
before it becomes the server, so a crash of this program leaves no server without a record. Every wait here has an end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_S = 0.05


class Failed(Exception):
    """A server could not be had, started or stopped; the text is one line for a person."""


def birth(pid: int) -> str | None:
    """The start time of this process, as a text to compare; None if the process has ended (a zombie has)."""
    if not Path("/proc/self/stat").exists():
        answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=5)
        return answer.stdout.strip() or None
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): field 3 is the state, field 22 the start in ticks since boot. So the id of the boot belongs to it.
    return None if state in "ZX" else f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{rest[18]}"


def wait_for(what: str, ready: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(POLL_S)


class Processes:
    """The records are in `folder/run`, the logs in `folder/log`."""

    def __init__(self, folder: Path) -> None:
        self._run, self._log = folder / "run", folder / "log"

    def start(self, name: str, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        """Start the process unless it runs. It goes on when this program ends."""
        if self.pid(name) is not None:
            return
        self._run.mkdir(parents=True, exist_ok=True)
        self._log.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as output:
            subprocess.Popen(
                list(argv),
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: self._record(name),
            )

    def _record(self, name: str) -> None:
        path = self._run / f"{name}.pid"
        path.with_suffix(".new").write_text(f"{os.getpid()} {birth(os.getpid())}")
        path.with_suffix(".new").rename(path)

    def log(self, name: str) -> Path:
        return self._log / f"{name}.log"

    def names(self) -> list[str]:
        return sorted(path.stem for path in self._run.glob("*.pid"))

    def pid(self, name: str) -> int | None:
        """The pid of the process, or None if the recorded process does not run any more."""
        try:
            pid, _, born = (self._run / f"{name}.pid").read_text().partition(" ")
        except FileNotFoundError:
            return None
        return int(pid) if pid.isdigit() and birth(int(pid)) == born else None

    def wait_until(self, name: str, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the process is ready. If it ends before that, fail with the last line of its log."""

        def ready_or_dead() -> bool:
            return ready() or self.pid(name) is None

        with contextlib.suppress(Failed):
            wait_for(name, ready_or_dead, timeout_s)
        if not ready():
            what = "died" if self.pid(name) is None else f"is not ready after {timeout_s:.0f} s"
            raise Failed(f"{name} {what}: {self._last_words(name)} (see {self.log(name)})")

    def _last_words(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1][-300:] if lines else "it said nothing"

    def stop(self, name: str, politely: signal.Signals = signal.SIGTERM, *, timeout_s: float = 10) -> None:
        """Send the polite signal, wait, then kill. It may be called again."""
        for number, patience_s in ((politely, timeout_s), (signal.SIGKILL, 10.0)):
            if (pid := self.pid(name)) is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a process that a test paused acts on no other signal
            with contextlib.suppress(Failed):
                wait_for(name, lambda: self.pid(name) is None, patience_s)
        if self.pid(name) is not None:
            raise Failed(f"{name} (pid {self.pid(name)}) cannot be stopped")
        (self._run / f"{name}.pid").unlink(missing_ok=True)
