"""Files that only Quorate writes: opened without following links, and new ones are for their owner alone.

Whoever may write in a folder may put a link there. Followed, it would have us empty a file somewhere else, or believe
one. Files that an operator names (settings, keys, tokens, logs) may be links: Kubernetes mounts them so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from quorate.errors import Conflict


def open_own(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of the file. Raises OSError, in words if it is a link or has another name too."""
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, which is not followed here; remove it", str(path)) from None
        raise
    if os.fstat(fd).st_nlink > 1:
        os.close(fd)
        raise OSError(errno.EMLINK, "it is a file that has another name too (a hard link); remove it", str(path))
    return fd


def open_anew(path: Path) -> IO[bytes]:
    """A new file for writing, in place of whatever has this name."""
    path.unlink(missing_ok=True)
    return open(open_own(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")


def read_own(path: Path) -> bytes:
    with open(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read()


def write_synced(path: Path, content: bytes) -> None:
    """Give the file this content: on disk when this returns, and whole, old or new, at any moment."""
    beside = path.with_suffix(".new")
    with open_anew(beside) as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the file as a lock. Raises `Conflict`, with the words `busy`, while another process holds it."""
    lock = open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(busy) from None
        yield
    finally:
        os.close(lock)
