"""Where scheduled backups are put. Each call blocks, and raises `BackupNotWritten` in words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from quorate.backup.saving import new_file, remove_leftovers
from quorate.errors import BackupNotWritten


class BackupStore(Protocol):
    where: str  # for people, without secrets

    def names(self) -> list[str]:
        """All that is there, of whomever it is."""
        ...

    def put(self, name: str, pieces: Iterable[bytes]) -> int:
        """Store it, whole or not at all, and never in the place of another. Returns its size."""
        ...

    def remove(self, name: str) -> None:
        """Nothing, if it is gone already."""
        ...


class FolderStore:
    """A folder, which is made if it is not there."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        self.where = str(folder)

    def names(self) -> list[str]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return [path.name for path in self._folder.iterdir()]
        except OSError as error:
            raise BackupNotWritten(f"{self.where} cannot be read: {error.strerror or error}") from None

    def put(self, name: str, pieces: Iterable[bytes]) -> int:
        remove_leftovers(self._folder)
        with new_file(self._folder / name, force=False) as file:
            for piece in pieces:
                file.write(piece)
            return file.tell()

    def remove(self, name: str) -> None:
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise BackupNotWritten(f"{self.where}/{name} cannot be removed: {error.strerror or error}") from None
