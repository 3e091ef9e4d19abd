"""The node's files, in one flat directory. A simulation replaces them by files in memory that lose power.

The log and the snapshots use a disk only by these few calls, and each call says what is durable when it returns.
Nothing here is tried again: after a failed sync the kernel may have dropped the pages that it could not write, and a
second sync would succeed (https://wiki.postgresql.org/wiki/Fsync_Errors). So callers stop. A file that cannot be opened
because all descriptors are in use is no failed disk: see `spare_descriptors.py`.

Several threads may use it at once, each on files of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Protocol

from quorate.cluster.raft.storage.spare_descriptors import SpareDescriptors

if sys.platform == "darwin":
    import fcntl

    def _sync_data(fd: int) -> None:
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync alone leaves the data in the drive's cache there (man 2 fsync)

else:
    _sync_data = os.fdatasync

_WRITE_DURABLY: int = getattr(os, "RWF_DSYNC", 0)  # Linux: as a write followed by fdatasync


class Files(Protocol):
    """Every call may raise OSError."""

    where: str  # the directory, for messages

    def names(self) -> list[str]: ...

    def size(self, name: str) -> int: ...

    def read(self, name: str) -> bytes: ...

    def read_at(self, name: str, offset: int, size: int) -> bytes: ...

    def write(self, name: str, offset: int, data: bytes, *, durable: bool = False) -> None:
        """Write `data` at `offset`, and create the file if it is new. With `durable`, do what `sync(name)` does too."""
        ...

    def sync(self, name: str) -> None:
        """Make the file's data durable, and its directory entry if it is new."""
        ...

    def truncate(self, name: str, size: int) -> None:
        """Cut the file. Durable on return."""
        ...

    def replace(self, old: str, new: str) -> None:
        """Rename atomically, over a file of the new name if there is one. Durable on return."""
        ...

    def remove(self, name: str) -> None:
        """Durable on return."""
        ...


class DiskFiles(Files, Protocol):
    """Files that hold something of the system's until they are closed."""

    def close(self) -> None:
        """Idempotent."""
        ...


class OsFiles:
    """`Files` on a real directory. Descriptors stay open, because opening a file costs as much as a write to it."""

    def __init__(self, path: Path | str) -> None:
        self.where = str(path)
        self._open: dict[str, int] = {}
        self._unlisted: set[str] = set()  # new files whose directory entry is not synced yet
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(self._directory)  # for files that an earlier process created just before it died
        self._spare = SpareDescriptors(self._directory)

    def names(self) -> list[str]:
        return self._spare.use(lambda: os.listdir(self.where))

    def size(self, name: str) -> int:
        return os.stat(name, dir_fd=self._directory).st_size

    def read(self, name: str) -> bytes:
        with open(self._descriptor_of(name, os.O_RDONLY), "rb") as file:
            return file.read()

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        with open(self._descriptor_of(name, os.O_RDONLY), "rb") as file:
            file.seek(offset)
            return file.read(size)

    def write(self, name: str, offset: int, data: bytes, *, durable: bool = False) -> None:
        fd = self._writable(name)
        # One system call to write and sync: after each one the thread must wait for the interpreter's lock again.
        flags = _WRITE_DURABLY if durable and name not in self._unlisted else 0
        view = memoryview(data)
        while view:
            written = os.pwritev(fd, [view], offset, flags) if flags else os.pwrite(fd, view, offset)
            offset += written
            view = view[written:]
        if durable and not flags:
            self.sync(name)

    def sync(self, name: str) -> None:
        _sync_data(self._writable(name))
        if name in self._unlisted:
            os.fsync(self._directory)
            self._unlisted.discard(name)

    def truncate(self, name: str, size: int) -> None:
        os.ftruncate(self._writable(name), size)
        self.sync(name)

    def replace(self, old: str, new: str) -> None:
        self._close_file(old)
        self._close_file(new)
        os.replace(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.fsync(self._directory)

    def remove(self, name: str) -> None:
        self._close_file(name)
        os.unlink(name, dir_fd=self._directory)
        os.fsync(self._directory)

    def close(self) -> None:
        """Idempotent."""
        for name in list(self._open):
            self._close_file(name)
        self._spare.close()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _writable(self, name: str) -> int:
        fd = self._open.get(name)
        if fd is None:
            try:
                fd = self._descriptor_of(name, os.O_RDWR)
            except FileNotFoundError:
                fd = self._descriptor_of(name, os.O_RDWR | os.O_CREAT)
                self._unlisted.add(name)
            self._open[name] = fd
        return fd

    def _descriptor_of(self, name: str, flags: int) -> int:
        return self._spare.use(lambda: os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=self._directory))

    def _close_file(self, name: str) -> None:
        self._unlisted.discard(name)
        fd = self._open.pop(name, None)
        if fd is not None:
            with contextlib.suppress(OSError):  # nothing is lost: `sync` raised if data did not reach the disk
                os.close(fd)
