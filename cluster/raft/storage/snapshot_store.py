"""Snapshots: the state machine's bytes at one entry, each in a file that is either whole or not there.

A snapshot is written under a temporary name, synced and renamed. A snapshot that comes from a peer in chunks is checked
before it gets its name. Its id is a checksum of everything in it; a snapshot that does not match its id is never used.
The snapshot before the newest is kept as well, and so is each one that a peer is being sent (`hold`).

Everything but `hold` and `release` blocks on the disk. It runs on a thread of its own, so that it never delays the
log's syncs for long.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from quorate.cluster.raft.storage.files import Files
from quorate.crash_points import crash_point
from quorate.errors import DataError

FORMAT = 1
KEPT = 2
_PART_BYTES = 1024 * 1024  # written and synced at a time: one big sync at the end would delay the log's syncs

_MAGIC = b"\xf5Quorsn\n"
_FIXED = struct.Struct("<8sHQQ16s16sQI")  # magic, format, index, term, chain, id, size of the image, size of members
_NAME = re.compile(r"snapshot-(\d{20})\.snap")
_TEMPORARY_NAME = "snapshot.tmp"


@dataclass(frozen=True)
class SnapshotMeta:
    """A snapshot without its image."""

    index: int  # of the last entry in it, with the term and the chain value of that entry
    term: int
    chain: bytes
    members: bytes
    size: int  # of the image
    id: str  # blake2b-128, in hex, over all of the above and the image


class SnapshotStore:
    """The snapshots in a directory."""

    def __init__(
        self, files: Files, *, node_id: str = "NODE", accept: Callable[[bytes], object] = lambda image: None
    ) -> None:
        """`accept` raises `DataError` on an image that this node could not start on."""
        self._accept = accept
        self._held: Counter[str] = Counter()  # files that are being sent, and to how many peers
        self._files = files
        self._node_id = node_id

    def newest(self) -> SnapshotMeta | None:
        """The newest snapshot, verified. Raises `DataError` if it is damaged: an older one cannot replace it."""
        names = self._names()
        if not names:
            return None
        meta, _ = self._read(names[-1])
        return meta

    def load(self, meta: SnapshotMeta) -> bytes:
        """The image. Raises `DataError` if the file is damaged or holds another snapshot by now."""
        found, data = self._read(_name_of(meta.index))
        if found != meta:
            raise self._damaged(_name_of(meta.index), "it is another snapshot than the one asked for")
        return data[_image_at(meta) :]

    def save(self, index: int, term: int, chain: bytes, members: bytes, image: bytes) -> SnapshotMeta:
        """Store a new snapshot. Durable on return."""
        size, id = len(image), _id_of(index, term, chain, members, image)
        meta = SnapshotMeta(index, term, chain, members, size, id)
        self._remove(_TEMPORARY_NAME)
        try:
            self._write_temporary(meta, image)
        except OSError:
            with contextlib.suppress(OSError):
                self._remove(_TEMPORARY_NAME)  # the disk may be full
            raise
        self._publish(_TEMPORARY_NAME, meta)
        return meta

    def read_chunk(self, meta: SnapshotMeta, offset: int, size: int) -> bytes:
        """Read bytes of the image. Raises an OSError if newer snapshots have replaced it."""
        if not self._is_in_place(_name_of(meta.index), meta):
            raise FileNotFoundError(f"another snapshot stands in the place of {meta.id}")
        return self._files.read_at(_name_of(meta.index), _image_at(meta) + offset, min(size, meta.size - offset))

    def receive(self, meta: SnapshotMeta, offset: int, chunk: bytes) -> int | None:
        """Store a chunk from a peer. Returns the offset wanted next, or None when the snapshot is whole and in place.

        A chunk with another offset than the wanted one changes nothing. Raises `DataError` if the snapshot is whole but
        this node cannot use it: then the newest snapshot stays as it was.
        """
        names = self._names()
        if names and self._is_in_place(names[-1], meta):
            return None
        part, start = f"snapshot-{meta.id}.part", _image_at(meta)
        if part not in self._files.names():
            self._remove_partial()
            self._files.write(part, 0, _header(meta))
        held = self._files.size(part) - start
        if held < 0:  # its first write was cut short
            self._files.write(part, 0, _header(meta))
            held = 0
        if offset == held and 0 < len(chunk) <= meta.size - held:
            self._files.write(part, start + held, chunk, durable=True)
            held += len(chunk)
            crash_point("snapshot-piece-received")
        if held < meta.size:
            return held
        image = self._verified_image(part, meta)
        if image is None:
            self._files.remove(part)
            return 0
        try:
            self._accept(image)
        except DataError:
            self._files.remove(part)
            raise
        crash_point("snapshot-received")
        self._publish(part, meta)
        return None

    def hold(self, meta: SnapshotMeta) -> None:
        """Keep this snapshot until `release`, however many newer ones are made. Each call counts.

        Called on the loop, as `release` is. A file that is being removed at this moment is found missing when it is
        read.
        """
        self._held[_name_of(meta.index)] += 1

    def release(self, meta: SnapshotMeta) -> None:
        self._held -= Counter([_name_of(meta.index)])

    def remove_old(self) -> None:
        for name in self._names()[:-KEPT]:
            if name not in self._held:
                self._files.remove(name)

    # ---- files ------------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        return sorted(name for name in self._files.names() if _NAME.fullmatch(name))

    def _write_temporary(self, meta: SnapshotMeta, image: bytes) -> None:
        self._files.write(_TEMPORARY_NAME, 0, _header(meta))
        view, start = memoryview(image), _image_at(meta)
        for at in range(0, meta.size, _PART_BYTES):
            crash_point("snapshot-mid-write")
            self._files.write(_TEMPORARY_NAME, start + at, bytes(view[at : at + _PART_BYTES]), durable=True)

    def _publish(self, temporary: str, meta: SnapshotMeta) -> None:
        self._files.sync(temporary)
        crash_point("snapshot-before-rename")
        self._files.replace(temporary, _name_of(meta.index))
        crash_point("snapshot-after-rename")
        self.remove_old()
        self._remove_partial()

    def _remove_partial(self) -> None:
        for name in self._files.names():
            if name.startswith("snapshot-") and name.endswith(".part"):
                self._files.remove(name)

    def _remove(self, name: str) -> None:
        if name in self._files.names():
            self._files.remove(name)

    def _is_in_place(self, name: str, meta: SnapshotMeta) -> bool:
        return self._files.read_at(name, 0, _image_at(meta)) == _header(meta)

    def _verified_image(self, name: str, meta: SnapshotMeta) -> bytes | None:
        try:
            found, data = self._read(name)
        except DataError:
            return None
        return data[_image_at(meta) :] if found == meta else None

    def _read(self, name: str) -> tuple[SnapshotMeta, bytes]:
        data = self._files.read(name)
        if len(data) < _FIXED.size or not data.startswith(_MAGIC):
            raise self._damaged(name, "its first bytes are unreadable")
        _, format, index, term, chain, id, size, members_size = _FIXED.unpack_from(data)
        meta = SnapshotMeta(index, term, chain, data[_FIXED.size : _FIXED.size + members_size], size, id.hex())
        image = memoryview(data)[_image_at(meta) :]
        if format == FORMAT and (len(image) != size or _id_of(index, term, chain, meta.members, image) != meta.id):
            raise self._damaged(name, "its checksum differs")
        if format != FORMAT:
            raise self._damaged(name, f"it has format {format}, this version of Quorate reads {FORMAT}")
        return meta, data

    def _damaged(self, name: str, why: str) -> DataError:
        where = self._files.where
        return DataError(
            f"{self._node_id} cannot start on the snapshot {where}/{name}: {why}. "
            f"If the other nodes are well, start {self._node_id} on an empty folder; then: "
            f"quorate members replace {self._node_id}"
        )


def _name_of(index: int) -> str:
    return f"snapshot-{index:020d}.snap"


def _image_at(meta: SnapshotMeta) -> int:
    return _FIXED.size + len(meta.members)


def _header(meta: SnapshotMeta) -> bytes:
    fixed = (_MAGIC, FORMAT, meta.index, meta.term, meta.chain, bytes.fromhex(meta.id), meta.size, len(meta.members))
    return _FIXED.pack(*fixed) + meta.members


def _id_of(index: int, term: int, chain: bytes, members: bytes, image: bytes | memoryview) -> str:
    hashed = blake2b(digest_size=16)
    hashed.update(_FIXED.pack(_MAGIC, FORMAT, index, term, chain, bytes(16), len(image), len(members)) + members)
    hashed.update(image)
    return hashed.hexdigest()
