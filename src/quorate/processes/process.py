"""A server process under test: started, killed, paused and continued by signals, its output kept in a file.

It never outlives whoever started it: `close` kills it, and where the kernel can (Linux) it dies with its parent, so
that nothing is left when a test run is itself killed.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import wait_for

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
# Below the range from which systems take the ports of outgoing connections (Linux: 32768 and up): there a connection
# may sit on a killed server's port when it starts again.
PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; drawn at random, so that test runs side by side seldom meet."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} free ports on 127.0.0.1 from {PORTS.start} to {PORTS.stop}")


class Process:
    """One command that can be started again after it ended. `log` collects what all its runs wrote."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name, self.command, self.log, self.cwd = name, list(command), log, cwd
        # Settings of whoever runs the tests are not the test's.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("QUORATE_")} | dict(env or {})
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None, f"{self.name} was never started"
        return self._running.pid

    @property
    def running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    @property
    def exit_status(self) -> int | None:
        """None while it runs; minus the signal's number if one killed it."""
        return self._running.poll() if self._running else None

    def start(self) -> None:
        assert not self.running, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._running = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_us,
            )

    def signal(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """As a power cut would: no handler runs."""
        self.signal(signal.SIGKILL)
        self.ended()

    def stop(self, deadline_s: float = 20.0) -> int:
        """Ask it to end, as an operator would; its exit status."""
        self.signal(signal.SIGTERM)
        return self.ended(deadline_s)

    def ended(self, deadline_s: float = 20.0) -> int:
        """Wait until it has ended; its exit status."""
        wait_for(f"{self.name} has ended", lambda: not self.running, deadline_s=deadline_s, seen=self.tail)
        assert self.exit_status is not None
        return self.exit_status

    def pause(self) -> None:
        """Stop it where it is: it looks alive to TCP and says nothing, as a long stall does."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        self.signal(signal.SIGKILL)
        if self._running:
            self._running.wait(timeout=20)

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 25) -> str:
        """The end of what it wrote, for the message of a failing test."""
        state = "runs" if self.running else f"ended with {self.exit_status}"
        return "\n".join([f"---- {self.name} ({state}), {self.log}", *self.output().splitlines()[-lines:]])

    # What it costs, from /proc (Linux).

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def die_with_us() -> None:
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
