"""A server process: started, signalled, paused, stopped and started again, its output kept in a file.

No process outlives the program that started it. `close` kills it. If our program dies first, however it dies, there are
two ways, and a process may have both: with `dies_with_us` the kernel kills it (Linux only); with a `Lifeline` a node
stops by itself, because a pipe from us closes. Each process has a session of its own, so that Ctrl-C in a terminal
reaches our program alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from quorate.processes.waiting import NeverHappened, wait_for

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
STOP_S = 20.0
KILLED_S = 20.0
LAST_BYTES = 16_384


class Lifeline:
    """A pipe. Its writing end is ours alone, so it closes when our program dies; nodes watch the reading end."""

    def __init__(self) -> None:
        self.reading_end, self._writing_end = os.pipe()
        self._closed = False

    def close(self) -> None:
        """Processes on this lifeline stop by themselves. Idempotent."""
        if not self._closed:
            self._closed = True
            os.close(self._writing_end)
            os.close(self.reading_end)


class Process:
    """One command, which can be started again after it ended. The file `log` gets the output of all its runs.

    `env` is added to our environment without Quorate's own variables: settings for our program are not meant for the
    processes that it starts. `through` is what starts the command and becomes it, as `nsenter` does.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        *,
        lifeline: Lifeline | None = None,
        dies_with_us: bool = True,
        through: Sequence[str] = (),
    ) -> None:
        self.name, self.command, self.log, self.cwd = name, list(command), log, cwd
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("QUORATE_")} | dict(env or {})
        self._through = list(through)
        self._lifeline, self._dies_with_us = lifeline, dies_with_us
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """None if it does not run."""
        return self._running.pid if self._running is not None and self._running.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    @property
    def exit_status(self) -> int | None:
        """How the last run ended: the exit code, or minus the number of the signal that ended it. None if it runs."""
        return self._running.poll() if self._running else None

    def start(self, *arguments: str) -> None:
        """Run the command with more arguments."""
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [*self._through, *self.command, *arguments]
        inherited: tuple[int, ...] = ()
        if self._lifeline is not None:
            inherited = (self._lifeline.reading_end,)
            command += ["--parent-fd", str(self._lifeline.reading_end)]
        with self.log.open("ab") as output:
            self._running = subprocess.Popen(
                command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=inherited,
                start_new_session=True,
                preexec_fn=die_with_us if self._dies_with_us else None,
            )

    def signal(self, number: int) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, number)

    def kill(self) -> None:
        """End it as a power cut would: none of its handlers run."""
        self.signal(signal.SIGKILL)
        self.ended()

    def stop(self, deadline_s: float = STOP_S) -> int:
        """Ask it to end, as an operator would; the exit status. Raises `NeverHappened` if it goes on."""
        self.signal(signal.SIGTERM)
        self.resume()  # a paused process does not hear the signal
        return self.ended(deadline_s)

    def ended(self, deadline_s: float = STOP_S) -> int:
        """Wait until it has ended; the exit status."""
        wait_for(f"{self.name} has ended", lambda: not self.running, deadline_s=deadline_s, seen=self.tail)
        assert self.exit_status is not None
        return self.exit_status

    def pause(self) -> None:
        """Stop it where it is, as a long stall does: its connections stay open and it says nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it if it runs. Idempotent."""
        self.signal(signal.SIGKILL)
        if self._running:
            self._running.wait(timeout=KILLED_S)

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def last_lines(self, lines: int) -> str:
        """The end of the output."""
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_BYTES))
                return b"\n".join(log.read().splitlines()[-lines:]).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def tail(self, lines: int = 25) -> str:
        """The end of the output under a line that says which process this is, and how it is."""
        state = "runs" if self.running else f"ended with {self.exit_status}"
        return f"---- {self.name} ({state}), {self.log}\n{self.last_lines(lines)}"

    # What it costs, from /proc (Linux).

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stop_all(processes: Iterable[Process], deadline_s: float = STOP_S) -> None:
    """Ask all to end at once; those that still run at the deadline are killed."""
    listed = list(processes)
    for process in listed:
        process.signal(signal.SIGTERM)
        process.resume()
    try:
        wait_for("all have ended", lambda: not any(each.running for each in listed), deadline_s=deadline_s)
    except NeverHappened:
        for process in listed:
            process.close()


def die_with_us() -> None:
    """Runs in the new process: the kernel kills it when the thread that started it ends, so in effect when we die."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
