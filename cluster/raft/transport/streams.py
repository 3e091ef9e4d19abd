"""Messages cut into parts, so that several streams share one connection and a heartbeat never waits for a long answer.

A part is one byte, the stream and whether more of the message follows, and then its share of the message. The streams
take turns. Messages of one stream keep their order.
"""

from __future__ import annotations

from collections import deque

from quorate.cluster.raft.transport.handshake.cipher import BadFrame
from quorate.vote import ENTRY_BYTES_MAX

PART_BYTES = 64 * 1024
MESSAGE_BYTES_MAX = ENTRY_BYTES_MAX + 2 * 1024 * 1024

RAFT, CALLS, INTRODUCTIONS, REFUSALS = 0, 1, 2, 3
STREAMS = 4
_MORE = 0x80


def whole(stream: int, message: bytes) -> bytes:
    """The only part of a short message."""
    return bytes((stream,)) + message


def is_of(stream: int, part: bytes) -> bool:
    return bool(part) and part[0] & ~_MORE == stream


class Outgoing:
    """The parts that wait to be sent."""

    def __init__(self) -> None:
        self._queues: tuple[deque[memoryview], ...] = tuple(deque() for _ in range(STREAMS))
        self._next_stream = RAFT
        self.bytes = 0

    def __bool__(self) -> bool:
        return any(self._queues)

    def has(self, stream: int) -> bool:
        return bool(self._queues[stream])

    def add(self, stream: int, message: bytes) -> None:
        view = memoryview(message)
        self._queues[stream].extend(view[at : at + PART_BYTES] for at in range(0, max(1, len(message)), PART_BYTES))
        self._queues[stream].append(memoryview(b""))  # the end of this message
        self.bytes += len(message)

    def next_part(self) -> bytes:
        """The next part, of the stream whose turn it is. There must be one."""
        while True:
            self._next_stream = (self._next_stream + 1) % STREAMS
            queue = self._queues[self._next_stream]
            if queue:
                break
        share = queue.popleft()
        last = not queue[0]
        if last:
            queue.popleft()
        self.bytes -= len(share)
        return bytes((self._next_stream | (0 if last else _MORE),)) + share

    def clear(self) -> None:
        for queue in self._queues:
            queue.clear()
        self.bytes = 0


class Incoming:
    """The messages of which only the first parts have come."""

    def __init__(self) -> None:
        self._begun: tuple[bytearray, ...] = tuple(bytearray() for _ in range(STREAMS))

    def take(self, part: bytes, bytes_max: int) -> tuple[int, bytes | None]:
        """The stream of a part, and the whole message if this is its last part. Raises `BadFrame`."""
        if not part or part[0] & ~_MORE >= STREAMS:
            raise BadFrame("a frame of no stream")
        stream, more = part[0] & ~_MORE, part[0] & _MORE
        begun = self._begun[stream]
        if not more and not begun:
            return stream, part[1:]
        begun += memoryview(part)[1:]
        if len(begun) > bytes_max:
            raise BadFrame(f"a message over {bytes_max} bytes")
        if more:
            return stream, None
        message = bytes(begun)
        begun.clear()
        return stream, message
