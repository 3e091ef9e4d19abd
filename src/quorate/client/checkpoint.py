"""Where a feed stands, in a small file that outlives the command: how many lines were sent, and the digest of them.

The mark of a batch is on disk before the batch is sent. So after a crash the file has the mark of the last batch that
the cluster knows, whichever of the two last ones that is. The lines before a mark are not to change: that is found out
by their digest. One feed at a time may hold a checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from quorate.errors import Invalid
from quorate.own_files import locked, make_own_folder, read_own, write_synced

PASSED_KEPT = 1_000


class FeedMark(msgspec.Struct, frozen=True):
    """What was sent up to batch `sequence`: `votes` lines that are votes, the last one's number, and their digest."""

    sequence: int = 0
    votes: int = 0
    line: int = 0
    digest: str = ""
    passed: int = 0  # lines among them that were passed over


class Saved(msgspec.Struct):
    """The content of a checkpoint."""

    name: str  # for people: which file, input or session this is
    session: str
    options: str
    claimed: bool = False  # the cluster knows that this name is in use
    whole: bool = False  # the file was fed to its end
    marks: list[FeedMark] = []  # at most two: one that is counted, and one that may be
    passed: list[tuple[int, str]] = []  # the first lines that were passed over, and why
    cluster: str = ""
    owner: str = ""  # the name of the token to which the session belongs

    def mark_at(self, sequence: int) -> FeedMark | None:
        return next((mark for mark in reversed(self.marks) if mark.sequence == sequence), None)


class Checkpoint:
    """`name` is what is fed, for people. Without `path` nothing is written: the same content goes on, and no other."""

    def __init__(self, name: str = "", path: Path | None = None, cluster: str = "") -> None:
        self.name = name
        self._path, self._cluster = path, cluster

    @classmethod
    @contextlib.contextmanager
    def held(cls, name: str, folder: Path, cluster: str) -> Iterator[Checkpoint]:
        """The checkpoint of `name` at one cluster. Raises `Conflict` while another feed holds it, and `ConfigError` if
        others may write in the folder: they could have votes left out, or counted twice."""
        make_own_folder(folder, "--state")
        stem = hashlib.blake2b(f"{cluster}\0{name}".encode(), digest_size=16).hexdigest()
        with locked(folder / f"{stem}.lock", f"{name} is being fed by another `quorate feed`; wait until it ends"):
            yield cls(name, folder / f"{stem}.json", cluster)

    @property
    def is_kept(self) -> bool:
        return self._path is not None

    def load(self) -> Saved | None:
        """Raises `Invalid` if the checkpoint cannot be read."""
        return None if self._path is None else _load(self._path)

    def unfinished(self) -> list[Saved]:
        """All feeds of which this cluster counted some votes, but not all."""
        paths = [] if self._path is None else self._path.parent.glob("*.json")
        every = [saved for path in paths if (saved := _load(path)) is not None]
        return [s for s in every if not s.whole and s.cluster == self._cluster and s.marks[0].votes]

    def save(self, saved: Saved) -> None:
        """On disk when this returns, and whole at any moment. Raises OSError, in words for people."""
        if self._path is None:
            return
        saved.cluster = self._cluster
        try:
            write_synced(self._path, msgspec.json.encode(saved))
        except OSError as error:
            raise OSError(error.errno, f"the checkpoint cannot be written: {error.strerror}") from None


def _load(path: Path) -> Saved | None:
    try:
        return msgspec.json.decode(read_own(path), type=Saved)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise Invalid(f"the checkpoint {path} is damaged ({error}). Move it away, then what it says is lost") from None
