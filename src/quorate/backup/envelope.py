"""The bytes of a backup: a head that says what it is, the state machine's image, and an end with a checksum.

The image is that of a snapshot (`cluster/state/image.py`), so a backup is the whole state at one version: polls,
tallies, the ids that are protected, producer sessions and what was deleted. The image has a checksum of its own, which
is the digest that `GET /digest` tells of that version.

    magic (8 bytes) | size of the head (4, little-endian) | head (JSON) | image | end (8) | blake2b of all before (32)

The size of the image is known only when it is made, so it stands nowhere. The end tells a backup that was cut short
from one that was changed. A backup is made and checked piece by piece, and is never held whole for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from quorate.errors import BackupUnusable
from quorate.unreadable import UNREADABLE

FORMAT = 1
MAGIC = b"\xf5Quorbk\n"
END = b"\xf5Quorend"
CHECKSUM_BYTES = 32
DIGEST_BYTES = 32  # of the image: its last bytes
HEAD_BYTES_MAX = 64 * 1024
_SIZE_BYTES = 4
_TAIL_BYTES = len(END) + CHECKSUM_BYTES
AGAIN = "Make a new one, or take another copy of it"


class BackupHead(msgspec.Struct, frozen=True):
    """What a backup says of itself. A later version may say more."""

    format: int
    cluster_id: str
    version: int
    chain: str  # of the state at this version, in hex
    level: int  # the feature level that a program needs to read it
    state_ms: int  # the leader's time in the state (Unix, ms)
    taken_ms: int  # by the clock of the node
    node: str
    program: str  # the version of Quorate
    polls: int = 0
    options: int = 0  # that stand in all polls together
    votes: int = 0  # the total of all tallies
    ids: int = 0  # that are protected
    producers: int = 0
    deleted: int = 0  # polls that are remembered as deleted


class _BackupFormat(msgspec.Struct):
    format: int


class CheckedBackup(msgspec.Struct, frozen=True):
    """A backup that is whole."""

    head: BackupHead
    size: int  # of the file
    digest: str  # of the state: what `GET /digest` told at this version


def pieces_of(head: BackupHead, image: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a backup. `image` gives the bytes of the image."""
    encoded = msgspec.json.encode(head)
    checksum = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
    for piece in (MAGIC, len(encoded).to_bytes(_SIZE_BYTES, "little"), encoded):
        checksum.update(piece)
        yield piece
    for piece in image:
        checksum.update(piece)
        yield piece
    checksum.update(END)
    yield END + checksum.digest()


class BackupCheck:
    """Reads a backup as it comes: `add` each piece, then `finish`. Both raise `BackupUnusable` in words."""

    def __init__(self, name: str) -> None:
        """`name` says which backup it is, for people: the file."""
        self._name = name
        self._checksum = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
        self._start = bytearray()  # until the head is read
        self._tail = b""  # the last bytes so far, which may be the end
        self.head: BackupHead | None = None
        self.image_at = 0
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.head is None:
            self._start += piece
            self._read_head()
        kept = self._tail + piece
        cut = max(0, len(kept) - _TAIL_BYTES - DIGEST_BYTES)
        self._checksum.update(memoryview(kept)[:cut])
        self._tail = kept[cut:]

    def finish(self) -> CheckedBackup:
        """Say that nothing more comes."""
        if not self.size:
            raise BackupUnusable(f"{self._name} is empty: nothing of a backup is in it. {AGAIN}")
        if self.head is None:
            whose = MAGIC.startswith(self._start[: len(MAGIC)]) or self._start.startswith(MAGIC)
            raise self._cut_short() if whose else self._not_ours()
        if self.size < self.image_at + DIGEST_BYTES + _TAIL_BYTES or self._tail[-_TAIL_BYTES:][: len(END)] != END:
            raise self._cut_short()
        self._checksum.update(self._tail[:-CHECKSUM_BYTES])
        if self._checksum.digest() != self._tail[-CHECKSUM_BYTES:]:
            raise BackupUnusable(f"{self._name} is damaged: its checksum differs. {AGAIN}")
        return CheckedBackup(self.head, self.size, self._tail[:-_TAIL_BYTES].hex())

    def _read_head(self) -> None:
        start, first = self._start, len(MAGIC) + _SIZE_BYTES
        if not MAGIC.startswith(start[: len(MAGIC)]) and not start.startswith(MAGIC):
            raise self._not_ours()
        if len(start) < first:
            return
        size = int.from_bytes(start[len(MAGIC) : first], "little")
        if size > HEAD_BYTES_MAX:
            raise BackupUnusable(f"{self._name} is damaged: its head makes no sense. {AGAIN}")
        if len(start) >= first + size:
            self.head, self.image_at = self._decode(bytes(start[first : first + size])), first + size
            start.clear()

    def _decode(self, data: bytes) -> BackupHead:
        try:
            format = msgspec.json.decode(data, type=_BackupFormat).format
            if format == FORMAT:
                return msgspec.json.decode(data, type=BackupHead)
        except UNREADABLE:
            raise BackupUnusable(f"{self._name} is damaged: its head cannot be read. {AGAIN}") from None
        raise BackupUnusable(
            f"{self._name} has format {format}, this version of Quorate reads {FORMAT}: use the version that wrote it, "
            "or a newer one"
        )

    def _cut_short(self) -> BackupUnusable:
        return BackupUnusable(f"{self._name} ends after {self.size:,} bytes, before the end of the backup. {AGAIN}")

    def _not_ours(self) -> BackupUnusable:
        return BackupUnusable(f"{self._name} is no backup of Quorate: its first bytes are another program's")
