"""Where a stream goes on: the positions up to which all votes were confirmed.

A position is kept only after it was confirmed, and the keeping is on disk, or with Consul, before anybody believes it.
One command at a time holds the positions of a stream. What they are about is part of their name: the network and its
source, the shard, and where the votes go.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from quorate.errors import Invalid
from quorate.own_files import locked, make_own_folder, read_own, write_synced
from quorate.unreadable import UNREADABLE

log = logging.getLogger(__name__)

WRITTEN_EVERY_S, TRIED_EVERY_S = 0.5, 2.0


class SavedPlaces(msgspec.Struct):
    """What is kept. `name` is for people."""

    name: str
    positions: dict[str, str]


def read_saved(content: bytes, where: str) -> SavedPlaces:
    try:
        return msgspec.json.decode(content, type=SavedPlaces)
    except UNREADABLE as error:
        raise Invalid(
            f"the positions in {where} are damaged ({error}). Remove them, or give --new, to go on from now"
        ) from None


class PlacesKeeper(Protocol):
    """Keeps the positions of one stream, which nobody else may change meanwhile."""

    name: str

    def load(self) -> SavedPlaces | None: ...

    def save(self, saved: SavedPlaces) -> None:
        """They are kept when this returns, or soon: `kept_at_s` says when that was done the last time (Unix)."""
        ...

    @property
    def kept_at_s(self) -> float | None: ...

    @property
    def trouble(self) -> str:
        """Why they are not kept at the moment, where `save` does not wait for it."""
        ...


class PlacesFile:
    """In a small file: on disk when `save` returns, and whole at any moment."""

    trouble = ""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path
        self.kept_at_s: float | None = None

    @classmethod
    @contextlib.contextmanager
    def held(cls, name: str, folder: Path) -> Iterator[PlacesFile]:
        """Raises `Conflict` while another command holds it."""
        make_own_folder(folder, "--state")
        stem = stem_of(name)
        with locked(folder / f"{stem}.lock", f"another `quorate stream` reads {name}; wait until it ends"):
            yield cls(name, folder / f"{stem}.json")

    def load(self) -> SavedPlaces | None:
        try:
            return read_saved(read_own(self._path), str(self._path))
        except FileNotFoundError:
            return None

    def save(self, saved: SavedPlaces) -> None:
        write_synced(self._path, msgspec.json.encode(saved))
        self.kept_at_s = time.time()


def stem_of(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


class Places:
    """`new`: begin without what is kept."""

    def __init__(self, keeper: PlacesKeeper, *, new: bool = False) -> None:
        self._keeper = keeper
        saved = None if new else keeper.load()
        if saved is not None and saved.name != keeper.name:
            raise Invalid(f"the positions are of another stream, {saved.name}. Remove them, or give --new")
        self.at_start: Mapping[str, str] = saved.positions if saved is not None else {}
        self._confirmed = dict(self.at_start)
        self._written = self._confirmed
        self._due_s = 0.0
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why the positions cannot be kept at the moment."""
        return self._trouble or self._keeper.trouble

    @property
    def written_at_s(self) -> float | None:
        return self._keeper.kept_at_s

    def confirmed(self, positions: Mapping[str, str]) -> None:
        """From any thread: the votes of all posts up to these positions were confirmed. An empty one is forgotten."""
        merged = {**self._confirmed, **positions}
        self._confirmed = merged if all(positions.values()) else {part: each for part, each in merged.items() if each}

    def write_if_due(self) -> None:
        """If they cannot be written, as on a full disk, that is said, and tried again later: counting goes on."""
        if time.monotonic() < self._due_s:
            return
        try:
            self.write()
        except OSError as error:
            self._due_s = time.monotonic() + TRIED_EVERY_S
            why = error.strerror or str(error)
            if why != self._trouble:
                log.warning("the position cannot be written: %s; reading goes on, and that is tried again", why)
            self._trouble = why

    def write_last(self) -> None:
        """Raises OSError, in words for people, if they cannot be written."""
        try:
            self.write()
        except OSError as error:
            at_s = self.written_at_s
            since = "in this run" if at_s is None else f"since {time.strftime('%H:%M:%S', time.localtime(at_s))}"
            why = error.strerror or str(error)
            raise OSError(
                error.errno,
                f"the position cannot be written: {why}. What was read {since} is read again the next time, and counts "
                "once",
            ) from None

    def write(self) -> None:
        """Raises OSError if they cannot be written."""
        confirmed = self._confirmed
        if confirmed != self._written:
            self._keeper.save(SavedPlaces(self._keeper.name, confirmed))
            self._written = confirmed
            self._due_s = time.monotonic() + WRITTEN_EVERY_S
        self._trouble = ""
