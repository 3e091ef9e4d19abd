"""A new file that has its name only when it is whole and on the disk. Until then, an old file of this name stays."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from quorate.backup.envelope import MAGIC
from quorate.errors import BackupNotWritten, Conflict
from quorate.own_files import open_anew, open_own

_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")


def check_name(path: Path, *, force: bool) -> None:
    """Raises `Conflict` if something has this name, or, with `force`, if that is no file that may be replaced.

    Raises `BackupNotWritten` if there is no folder for it.
    """
    if not path.parent.is_dir():
        raise BackupNotWritten(f"{path.parent} is no folder; make it first, or give another name")
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing is there, or what is wrong is said when it is written
    if not force:
        raise _taken(path)
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a link" if stat.S_ISLNK(mode) else "no file"
        raise Conflict(f"{path} is {what}, which a backup never takes the place of; give another name")


def _taken(path: Path) -> Conflict:
    return Conflict(f"{path} exists already; give another name, or --force to put the new backup in its place")


@contextlib.contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file to write, which gets its name at the end of the block. After an error nothing is left of it.

    Only its owner may read it. Raises `Conflict` if the name is taken and `force` does not say to replace it, and
    `BackupNotWritten` where the disk refuses.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open_anew(beside) as file:
            _hold(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            _name(beside, path, force)
    except OSError as error:
        raise BackupNotWritten(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove what killed backups have left in the folder, and say which files that were. Never raises an OSError.

    Only what is certainly that: a file of this user with such a name, which begins as a backup does, and which nobody
    is writing.
    """
    removed = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            if _PART.fullmatch(path.name) and _is_left_over(path):
                removed.append(path)
    return removed


def _is_left_over(path: Path) -> bool:
    """Whether it was, and is removed now."""
    try:
        with open(open_own(path, os.O_RDWR), "rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid() or file.read(len(MAGIC)) != MAGIC:
                return False
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:  # it is being written, or is no file of ours
        return False
    return True


def _hold(file: IO[bytes]) -> None:
    """While it is locked, it is no leftover."""
    with contextlib.suppress(OSError):  # no locks on this file system: then nobody removes it, either
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _name(beside: Path, path: Path, force: bool) -> None:
    if force:
        check_name(path, force=True)
        beside.replace(path)
    else:
        try:
            os.link(beside, path)  # unlike a rename, it never takes the place of another file
        except FileExistsError:
            raise _taken(path) from None
        except OSError:  # this file system has no hard links
            check_name(path, force=False)
            beside.replace(path)
        else:
            beside.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
