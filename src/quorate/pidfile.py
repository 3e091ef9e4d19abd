"""Who runs a folder: a file with the process id, locked for as long as the process lives.

The lock is the truth and ends with the process, `kill -9` included; the number in a file that nobody holds is history,
and may by now be anybody's.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

NODE, DEV = "node.pid", "dev.pid"


def hold(folder: Path, name: str = NODE) -> IO[str] | None:
    """Write this process into the folder's pid file and hold it until the returned file is closed; None if held."""
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / name, "a+", encoding="ascii")  # noqa: SIM115 - open for as long as the process runs
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def let_go(file: IO[str]) -> None:
    """Remove the file and the lock with it."""
    Path(file.name).unlink(missing_ok=True)
    file.close()


def running(folder: Path, name: str = NODE) -> int | None:
    """The process that holds the folder now, if any."""
    try:
        with open(folder / name, encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
    except (FileNotFoundError, ValueError):
        pass
    return None
