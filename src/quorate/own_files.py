"""Files that only Quorate writes: opened without following links, and new ones are for their owner alone.

Whoever may write in a folder may put a link there. Followed, it would have us empty a file somewhere else, or believe
one. Files that an operator names (settings, keys, tokens, logs) may be links: Kubernetes mounts them so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from quorate.errors import ConfigError, Conflict

OTHERS = "other users of this host"
NOT_OWN = (errno.ELOOP, errno.EMLINK, errno.EINVAL)  # of what stands where a file of ours should: see `open_own`


def open_own(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of the file. Raises OSError, in words if it is a link, has another name too, or is no file.

    It never waits: nobody may write to a pipe that somebody put there.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, which is not followed here; remove it", str(path)) from None
        raise
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return fd
    os.close(fd)
    if stat.S_ISREG(status.st_mode):
        raise OSError(errno.EMLINK, "it is a file that has another name too (a hard link); remove it", str(path))
    raise OSError(errno.EINVAL, "it is no file; remove it", str(path))


def why_shared(folder: Path) -> str | None:
    """How other users of the host could put files of their own among ours, or in their place, in words; or None."""
    if folder.stat().st_mode & stat.S_IWOTH:
        return f"{folder} can be changed by {OTHERS}: chmod o-w {shlex.quote(str(folder))}"
    above = folder.resolve().parent
    mode = above.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return f"{folder} can be replaced by {OTHERS}: chmod o-w {shlex.quote(str(above))}"
    return None


def make_own_folder(folder: Path, flag: str) -> None:
    """Make a folder for files of ours, for its owner alone. Raises `ConfigError` if we may not write in it.

    And if others may: they could have put there what is read as our own. `flag` names another folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, "this user may not write there, or nobody may")
    except OSError as error:
        why = "it is no folder" if error.errno == errno.EEXIST else error.strerror
        raise ConfigError(f"{folder} cannot be used: {why}; give another folder with {flag}") from None
    if shared := why_shared(folder):
        raise ConfigError(f"{shared}; or give another folder with {flag}")


def open_anew(path: Path) -> IO[bytes]:
    """A new file for writing, in place of whatever has this name."""
    path.unlink(missing_ok=True)
    return open(open_own(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")


def read_own(path: Path) -> bytes:
    with open(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read()


def write_synced(path: Path, content: bytes) -> None:
    """Give the file this content: on disk when this returns, and whole, old or new, at any moment.

    Raises OSError, with its folder in words: what the system says of a full disk names no file.
    """
    try:
        _write_synced(path, content)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}, in {path.parent}") from None


def _write_synced(path: Path, content: bytes) -> None:
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
