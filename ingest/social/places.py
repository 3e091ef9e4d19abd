"""Where a stream goes on: the positions up to which all votes were confirmed, in a small file.

A position is in the file only after it was confirmed, and is on disk when `write` returns. One command at a time holds
the file of a stream. What it is about is part of its name: the network and its source, and where the votes go.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from quorate.errors import Invalid
from quorate.own_files import locked, make_own_folder, read_own, write_synced

WRITTEN_EVERY_S = 0.5


class SavedPlaces(msgspec.Struct):
    """The content of the file. `name` is for people."""

    name: str
    positions: dict[str, str]


class Places:
    def __init__(self, name: str, path: Path, *, new: bool = False) -> None:
        self._name, self._path = name, path
        self._read = {} if new else self._load()
        self._confirmed = dict(self._read)
        self._written = dict(self._read)
        self._due_s = 0.0
        self.written_at_s: float | None = None

    @classmethod
    @contextlib.contextmanager
    def held(cls, name: str, folder: Path, *, new: bool = False) -> Iterator[Places]:
        """`new`: without what is in the file. Raises `Conflict` while another command holds it."""
        make_own_folder(folder, "--state")
        stem = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        with locked(folder / f"{stem}.lock", f"another `quorate stream` reads {name}; wait until it ends"):
            yield cls(name, folder / f"{stem}.json", new=new)

    @property
    def at_start(self) -> Mapping[str, str]:
        return self._read

    def confirmed(self, positions: Mapping[str, str]) -> None:
        """From any thread: the votes of all posts up to these positions were confirmed."""
        self._confirmed = {**self._confirmed, **positions}

    def write_if_due(self) -> None:
        if time.monotonic() >= self._due_s:
            self.write()

    def write(self) -> None:
        confirmed = self._confirmed
        if confirmed == self._written:
            return
        write_synced(self._path, msgspec.json.encode(SavedPlaces(self._name, confirmed)))
        self._written, self.written_at_s = confirmed, time.time()
        self._due_s = time.monotonic() + WRITTEN_EVERY_S

    def _load(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(read_own(self._path), type=SavedPlaces).positions
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise Invalid(
                f"the positions in {self._path} are damaged ({error}). Move the file away to go on from now"
            ) from None
