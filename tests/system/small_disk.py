"""A disk of a few megabytes that a test can fill completely: a tmpfs, if this process may mount one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

BALLAST = "ballast"
BLOCK_BYTES = 64 * 1024


class CannotMount(Exception):
    """The text says why."""


class SmallDisk:
    """Mounted on a directory of its own until `close`, which unmounts it even if a process still uses it."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        path.mkdir()
        if sys.platform != "linux":
            raise CannotMount("a tmpfs is Linux's")
        options = f"size={megabytes}m,mode=700"
        try:
            mount = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "quorate-test", str(path)], capture_output=True, text=True
            )
        except OSError as error:
            raise CannotMount(f"mount: {error.strerror}") from error
        if mount.returncode:
            raise CannotMount((mount.stderr.splitlines() or [""])[0] or f"mount ended with {mount.returncode}")

    def fill(self) -> None:
        """Fill the disk to the last byte, also if other processes write at the same time."""
        with open(self.path / BALLAST, "ab", buffering=0) as ballast:
            size = BLOCK_BYTES
            while size:
                try:
                    ballast.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free_bytes(self) -> int:
        seen = os.statvfs(self.path)
        return seen.f_bavail * seen.f_frsize

    def make_room(self) -> None:
        (self.path / BALLAST).unlink()

    def close(self) -> None:
        if subprocess.run(["umount", str(self.path)], capture_output=True).returncode:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)  # it vanishes when the last file is closed
