"""A network namespace that nobody has to remove: it has no name, and ends with whoever is in it and holds it open.

So whatever ends our program, also `kill -9`, leaves nothing: the kernel kills its nodes, then takes down the namespaces
with all interfaces in them, and with these the other ends of their links.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
COMMAND_S = 10.0


class CommandRefused(OSError):
    """A tool of the network said no. The text is what it said."""


class NetNamespace:
    def __init__(self, kernel_settings: Mapping[str, str] | None = None) -> None:
        """`kernel_settings` are files below `/proc/sys/net`, with what to write into them. Raises `OSError`."""
        self._fd = _on_a_thread_of_its_own(lambda: _make(kernel_settings or {}))

    @property
    def path(self) -> str:
        """Where other processes find it."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def through(self) -> list[str]:
        """What a command is put behind to run in it. It becomes the command, so the process's number stays."""
        return ["nsenter", f"--net={self.path}"]

    def run(self, command: Iterable[str], text: str = "") -> str:
        """Raises `CommandRefused`."""
        return run([*self.through, *command], text)

    def close(self) -> None:
        """Idempotent. It ends when the last process in it has ended."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def run(command: Iterable[str], text: str = "") -> str:
    """What it wrote. Raises `CommandRefused`."""
    listed = list(command)
    try:
        done = subprocess.run(listed, input=text, capture_output=True, text=True, timeout=COMMAND_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandRefused(f"{listed[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"{listed[0]} ended with {done.returncode}"]
        raise CommandRefused(next((line for line in said if "rror" in line), said[0]))
    return done.stdout


def _make(kernel_settings: Mapping[str, str]) -> int:
    """The calling thread leaves for a new namespace."""
    if LIBC.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    for name, value in kernel_settings.items():
        with open(f"/proc/sys/net/{name}", "w") as opened:
            opened.write(value)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _on_a_thread_of_its_own(make: Callable[[], int]) -> int:
    """Other threads stay in the namespace where they are."""
    with ThreadPoolExecutor(1, "namespace") as pool:
        return pool.submit(make).result()
