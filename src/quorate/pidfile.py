"""A file that says which process runs a folder. The process keeps it locked as long as it lives.

The lock decides. It ends with the process, also by `kill -9`. The number in a file that is not locked means nothing: it
may be the number of an unrelated process by now.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from quorate.own_files import NOT_OWN, open_own

NODE, DEV = "node.pid", "dev.pid"
HOLD_FOR_S = 0.2  # `running` takes the lock for a moment, so `hold` tries for this long


def hold(folder: Path, name: str = NODE) -> IO[str] | None:
    """Write this process into the folder's pid file, and hold the lock until the returned file is closed.

    Returns None if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    give_up_s = time.monotonic() + HOLD_FOR_S
    while (file := _locked(folder / name)) is None:
        if time.monotonic() > give_up_s:
            return None
        time.sleep(0.01)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _opener(path: str, flags: int) -> int:
    return open_own(Path(path), flags, 0o644)


def _locked(path: Path) -> IO[str] | None:
    file = open(path, "a+", encoding="ascii", opener=_opener)  # noqa: SIM115 - open for as long as the process runs
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The file may have been removed after we opened it. Then other processes would lock another file, a new one.
        if os.fstat(file.fileno()).st_nlink:
            return file
    except BlockingIOError:
        pass
    file.close()
    return None


def let_go(file: IO[str]) -> None:
    """Remove the file, and release the lock."""
    Path(file.name).unlink(missing_ok=True)
    file.close()


def running(folder: Path, name: str = NODE) -> int | None:
    """The process that holds the folder now, or None."""
    try:
        with open(open_own(folder / name, os.O_RDONLY), encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
    except (FileNotFoundError, ValueError):
        pass
    except OSError as error:
        if error.errno not in NOT_OWN:  # a link is no pid file
            raise
    return None
