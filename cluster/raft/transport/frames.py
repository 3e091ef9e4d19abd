"""The bytes of a connection, cut into frames: four bytes that say how long the frame is, and the frame."""

from __future__ import annotations

import struct

from quorate.cluster.raft.transport.handshake.cipher import BadFrame
from quorate.cluster.raft.transport.handshake.hello import HELLO_BYTES_MAX
from quorate.cluster.raft.transport.handshake.tls_layer import HANDSHAKE_RECORD
from quorate.cluster.raft.transport.link_reasons import TLS_HERE
from quorate.cluster.raft.transport.streams import PART_BYTES

FRAME_BYTES_MAX = PART_BYTES + 64
LENGTH_BYTES = 4

_length = struct.Struct(">I")


class IncomingFrames:
    """What has come and was not taken yet: less than a frame of the greatest length, and what was read with it."""

    def __init__(self) -> None:
        self._bytes, self._at = bytearray(), 0

    def add(self, data: bytes) -> None:
        del self._bytes[: self._at]
        self._at = 0
        self._bytes += data

    def take(self, *, hello: bool) -> bytes | None:
        """The next frame, if it is whole. `hello`: it is the first one. Raises `BadFrame` if it is too long."""
        start = self._at + LENGTH_BYTES
        if len(self._bytes) < start:
            return None
        size = _length.unpack_from(self._bytes, self._at)[0]
        if size > (HELLO_BYTES_MAX if hello else FRAME_BYTES_MAX):
            raise BadFrame(TLS_HERE if hello and size >> 24 == HANDSHAKE_RECORD else f"a frame of {size} bytes")
        if len(self._bytes) < start + size:
            return None
        self._at = start + size
        return bytes(self._bytes[start : self._at])

    def clear(self) -> None:
        self._bytes.clear()
        self._at = 0


class OutgoingFrames:
    """What is to be sent, in the form in which it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.bytes = 0

    def add(self, frame: bytes) -> int:
        """Returns how many bytes it takes."""
        self._parts += (_length.pack(len(frame)), frame)
        size = LENGTH_BYTES + len(frame)
        self.bytes += size
        return size

    def take(self) -> bytes:
        """All of it."""
        data = b"".join(self._parts)
        self._parts, self.bytes = [], 0
        return data
