"""What libfaketime keeps outside of a process, as the run and its victims both know it."""

from __future__ import annotations

import contextlib
from pathlib import Path

FILE = "FAKETIME_TIMESTAMP_FILE"  # the variable that names the file with what the clock says
SHARED = Path("/dev/shm")


def forget_shared_memory(pid: int) -> None:
    """Remove the names of what libfaketime shares with children of this process: it does so in an orderly end alone."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        with contextlib.suppress(OSError):
            (SHARED / name).unlink()
