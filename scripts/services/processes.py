"""Processes that belong to one folder: started apart from the terminal, known by pid and birth, stopped for certain.

A pid alone may be somebody else's by the time it is read, so a record holds when the process was born too, and nothing
is signalled whose birth differs. The child writes its record itself before it becomes the server: a crash of this
program in between leaves nothing unknown. Every wait here ends.
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
    """When this process was born, as a text to compare; None if it is gone (a zombie is)."""
    if not Path("/proc/self/stat").exists():
        answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=5)
        return answer.stdout.strip() or None
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): field 3 is the state, field 22 the start in ticks since boot; hence the boot's id.
    return None if state in "ZX" else f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{rest[18]}"


def wait_for(what: str, ready: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(POLL_S)


class Processes:
    """The records in `folder/run`, the logs in `folder/log`."""

    def __init__(self, folder: Path) -> None:
        self._run, self._log = folder / "run", folder / "log"

    def start(self, name: str, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        """Start it unless it runs; it does not die with this program."""
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
        """Its pid while it is the very process that was recorded; else None."""
        try:
            pid, _, born = (self._run / f"{name}.pid").read_text().partition(" ")
        except FileNotFoundError:
            return None
        return int(pid) if pid.isdigit() and birth(int(pid)) == born else None

    def wait_until(self, name: str, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the process is of use; its death ends the wait, with the last line it logged."""

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
        """Ask, wait, then kill. Idempotent."""
        for number, patience_s in ((politely, timeout_s), (signal.SIGKILL, 10.0)):
            if (pid := self.pid(name)) is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # one that a test left stopped hears nothing else
            with contextlib.suppress(Failed):
                wait_for(name, lambda: self.pid(name) is None, patience_s)
        if self.pid(name) is not None:
            raise Failed(f"{name} (pid {self.pid(name)}) cannot be stopped")
        (self._run / f"{name}.pid").unlink(missing_ok=True)
