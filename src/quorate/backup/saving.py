"""A new file that has its name only when it is whole and on the disk. Until then, an old file of this name stays."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from quorate.errors import Conflict, DataError
from quorate.own_files import open_anew


def check_free(path: Path) -> None:
    """Raises `Conflict` if something has this name."""
    if os.path.lexists(path):
        raise _taken(path)


def _taken(path: Path) -> Conflict:
    return Conflict(f"{path} exists already; give another name, or --force to put the new backup in its place")


@contextlib.contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file to write, which gets its name at the end of the block. After an error nothing is left of it.

    Only its owner may read it. Raises `Conflict` if the name is taken and `force` does not say to replace it, and
    `DataError` where the disk refuses.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open_anew(beside) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(beside, path, force)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _name(beside: Path, path: Path, force: bool) -> None:
    if force:
        beside.replace(path)
    else:
        try:
            os.link(beside, path)  # unlike a rename, it never takes the place of another file
        except FileExistsError:
            raise _taken(path) from None
        except OSError:  # this file system has no hard links
            check_free(path)
            beside.replace(path)
        else:
            beside.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
