"""What libfaketime keeps outside of a process, as the run and its victims both know it."""

from __future__ import annotations

import contextlib
from pathlib import Path

FILE = "FAKETIME_TIMESTAMP_FILE"  # the variable that names the file with what the clock says
SHARED = Path("/dev/shm")


NAMES = ("faketime_shm_", "sem.faketime_sem_")  # followed by a process


def forget_shared_memory(pid: int, shared: Path = SHARED) -> None:
    """Remove the names of what libfaketime shares with children of this process: it does so in an orderly end alone."""
    for name in NAMES:
        with contextlib.suppress(OSError):
            (shared / f"{name}{pid}").unlink()


def forget_the_dead(since_s: float, shared: Path = SHARED) -> None:
    """The same for all processes that began since then (Unix time) and have ended, whatever ended them."""
    for path in shared.glob(f"{NAMES[0]}*"):
        pid = path.name.removeprefix(NAMES[0])
        with contextlib.suppress(OSError):
            if pid.isdecimal() and path.stat().st_mtime >= since_s and not Path(f"/proc/{pid}").exists():
                forget_shared_memory(int(pid), shared)
