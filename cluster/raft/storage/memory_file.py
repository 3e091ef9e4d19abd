"""A small file that is written often and synced seldom: what this node remembers of its peers.

It has two slots. Each write goes to the slot that is not the last synced one, and a write that is synced changes the
turn. So a killed process loses nothing that was written, and a loss of power leaves at least what was synced last. Each
slot has a number and a checksum: the sound slot with the greater number counts.
"""

from __future__ import annotations

import struct
from zlib import crc32

from quorate.cluster.raft.storage.files import Files

NAME = "peers.seen"
SLOT_BYTES = 64 * 1024

_MAGIC = b"\xf5Quorpm\n"
_HEAD = struct.Struct("<8sQI")  # magic, number, size
_CRC_BYTES = 4
_ROOM_BYTES = SLOT_BYTES - _HEAD.size - _CRC_BYTES


class MemoryFile:
    """Both calls block on the disk, and may raise an OSError."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._number = 0
        self._slot = 0  # the one that is written next

    def read(self) -> bytes:
        """What was written last, as far as it reached the disk; b"" if there is nothing, or nothing sound."""
        if NAME not in self._files.names():
            return b""
        self._files.sync(
            NAME
        )  # what a killed process wrote may be in the cache only; the next write is to the other slot
        slots = [_parse(self._files.read_at(NAME, slot * SLOT_BYTES, SLOT_BYTES)) for slot in (0, 1)]
        self._number, newest = max((slot[0], at) for at, slot in enumerate(slots))
        self._slot = 1 - newest
        return slots[newest][1]

    def write(self, data: bytes, *, durable: bool) -> None:
        """What is too much for a slot is not written: the older memory stays."""
        if len(data) > _ROOM_BYTES:
            return
        self._number += 1
        body = _HEAD.pack(_MAGIC, self._number, len(data)) + data
        record = body + crc32(body).to_bytes(_CRC_BYTES, "little")
        self._files.write(NAME, self._slot * SLOT_BYTES, record, durable=durable)
        if durable:
            self._slot = 1 - self._slot


def _parse(data: bytes) -> tuple[int, bytes]:
    """The number and the content of a slot; 0 and nothing if it is torn or was never written."""
    if len(data) < _HEAD.size:
        return 0, b""
    magic, number, size = _HEAD.unpack_from(data)
    stop = _HEAD.size + size
    sound = crc32(data[:stop]).to_bytes(_CRC_BYTES, "little") == data[stop : stop + _CRC_BYTES]
    return (number, data[_HEAD.size : stop]) if magic == _MAGIC and sound else (0, b"")
