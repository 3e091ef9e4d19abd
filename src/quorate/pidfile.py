"""Who runs a folder: a file with the process id, locked for as long as the process lives.

The lock is the truth and ends with the process, `kill -9` included; the number in a file that nobody holds is history,
and may by now be anybody's.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

NODE, DEV = "node.pid", "dev.pid"
LOOKING_S = 0.2  # who asks whether a folder is held (`running`) has its lock for a moment


def hold(folder: Path, name: str = NODE) -> IO[str] | None:
    """Write this process into the folder's pid file and hold it until the returned file is closed; None if held."""
    folder.mkdir(parents=True, exist_ok=True)
    give_up_s = time.monotonic() + LOOKING_S
    while (file := _locked(folder / name)) is None:
        if time.monotonic() > give_up_s:
            return None
        time.sleep(0.01)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _locked(path: Path) -> IO[str] | None:
    file = open(path, "a+", encoding="ascii")  # noqa: SIM115 - open for as long as the process runs
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_nlink:  # else its holder removed it between our two calls: others see another
            return file
    except BlockingIOError:
        pass
    file.close()
    return None


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
