"""A client of nsqd that sends any bytes, valid or not, and returns the frames that come back."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass
from typing import Any

RESPONSE, ERROR, MESSAGE = 0, 1, 2
CLOSED = (-1, b"closed")


@dataclass(frozen=True, slots=True)
class Received:
    id: bytes
    timestamp_ns: int
    attempts: int
    body: bytes


class RawClient:
    def __init__(self, address: tuple[str, int], *, magic: bytes = b"  V2", timeout_s: float = 10.0) -> None:
        self._socket = socket.create_connection(address, timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timeout_s = timeout_s
        self.send(magic)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_sized(self, line: bytes, body: bytes) -> None:
        self.send(line + b"\n" + struct.pack(">i", len(body)) + body)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return data

    def frame(self, *, timeout_s: float | None = None) -> tuple[int, bytes]:
        """The next frame, which may be a heartbeat; `CLOSED` at the end of the connection. Raises `TimeoutError`."""
        self._socket.settimeout(timeout_s or self._timeout_s)
        try:
            size, kind = struct.unpack(">ii", self._read(8))
            return kind, self._read(size - 4)
        except ConnectionError:
            return CLOSED

    def answer(self) -> bytes:
        """An answer of nsqlookupd: it has a size and no kind."""
        (size,) = struct.unpack(">i", self._read(4))
        return self._read(size)

    def message(self, *, timeout_s: float | None = None) -> Received:
        kind, payload = self.frame(timeout_s=timeout_s)
        while (kind, payload) == (RESPONSE, b"_heartbeat_"):
            self.send(b"NOP\n")
            kind, payload = self.frame(timeout_s=timeout_s)
        assert kind == MESSAGE, (kind, payload)
        timestamp_ns, attempts, id = struct.unpack(">qH16s", payload[:26])
        return Received(id, timestamp_ns, attempts, payload[26:])

    def messages(self, count: int) -> list[Received]:
        return [self.message() for _ in range(count)]

    def silent_for(self, seconds: float) -> bool:
        """Whether no frame comes in that time."""
        try:
            self.frame(timeout_s=seconds)
        except TimeoutError:
            return True
        return False

    def identify(self, **wish: Any) -> tuple[int, bytes]:
        self.send_sized(b"IDENTIFY", json.dumps({"feature_negotiation": True} | wish).encode())
        return self.frame()

    def subscribe(self, topic: str, channel: str, *, ready: int = 0, **wish: Any) -> RawClient:
        """Send IDENTIFY with a short buffer timeout, SUB, and RDY if `ready` is given."""
        kind, terms = self.identify(output_buffer_timeout=25, **wish)
        assert kind == RESPONSE, terms
        self.send(f"SUB {topic} {channel}\n".encode())
        assert (RESPONSE, b"OK") == self.frame()
        if ready:
            self.send(b"RDY %d\n" % ready)
        return self

    def leave(self) -> None:
        """Send CLS and wait for its answer. After that no message is on its way any more."""
        self.send(b"CLS\n")
        while (frame := self.frame()) != (RESPONSE, b"CLOSE_WAIT"):
            assert frame == (RESPONSE, b"_heartbeat_"), frame

    def finish(self, *messages: Received) -> None:
        self.send(b"".join(b"FIN %s\n" % message.id for message in messages))


def mpub_body(*bodies: bytes) -> bytes:
    return struct.pack(">i", len(bodies)) + b"".join(struct.pack(">i", len(b)) + b for b in bodies)
