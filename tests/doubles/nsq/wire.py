"""The protocol between a client and nsqd: names, frames, errors and limits.

Sources: the protocol's specification (nsq.io/clients/tcp_protocol_spec), and nsqd 1.3 for the texts of errors, which
the tests compare.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

VERSION = "1.3.0"
MAGIC_CLIENT = b"  V2"
MAGIC_LOOKUP = b"  V1"
ID_BYTES = 16
FRAME_RESPONSE, FRAME_ERROR, FRAME_MESSAGE = 0, 1, 2

_NAME = re.compile(r"[.a-zA-Z0-9_-]+(#ephemeral)?")


class ProtocolError(Exception):
    """Misuse by a client. The client gets the text in an error frame. A fatal error also ends the connection."""

    def __init__(self, code: str, detail: str, *, fatal: bool = True) -> None:
        super().__init__(f"{code} {detail}" if detail else code)
        self.code = code
        self.fatal = fatal


def is_name(name: str) -> bool:
    """Whether a topic or a channel may have this name."""
    return len(name) <= 64 and _NAME.fullmatch(name) is not None


def is_ephemeral(name: str) -> bool:
    return name.endswith("#ephemeral")


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">ii", len(payload) + 4, kind) + payload


def message_frame(timestamp_ns: int, attempts: int, id: bytes, body: bytes) -> bytes:
    return struct.pack(">iiqH16s", len(body) + 30, FRAME_MESSAGE, timestamp_ns, attempts, id) + body


def decimal(digits: bytes) -> int:
    """A number of digits only. Raises `ValueError` if there is a sign or a space."""
    if digits and not digits.isdigit():
        raise ValueError(digits)
    return int(digits or b"0")


@dataclass(slots=True)
class Message:
    """One channel's copy of a message."""

    id: bytes
    timestamp_ns: int
    body: bytes
    attempts: int = 0


@dataclass(slots=True)
class Options:
    """The settings of nsqd whose effect a client can see, with nsqd's defaults."""

    tcp_address: str = "127.0.0.1:0"
    http_address: str = "127.0.0.1:0"
    broadcast_address: str = "127.0.0.1"
    lookupd_tcp_address: list[str] = field(default_factory=list)
    node_id: int = 0
    data_path: str = ""
    mem_queue_size: int = 10_000
    sync_every: int = 2_500
    msg_timeout_ms: int = 60_000
    max_msg_timeout_ms: int = 900_000
    max_req_timeout_ms: int = 3_600_000
    max_heartbeat_interval_ms: int = 60_000
    client_timeout_ms: int = 60_000
    max_msg_size: int = 1024 * 1024
    max_body_size: int = 5 * 1024 * 1024
    max_rdy_count: int = 2_500
    max_output_buffer_size: int = 64 * 1024
    min_output_buffer_timeout_ms: int = 25
    max_output_buffer_timeout_ms: int = 30_000
    # These only the double has:
    first_id: int = 0  # number messages from here, so that two doubles give the same ids
    sync_takes_ms: int = 0  # a slow disk: the publisher is answered after this time for each message
    keep_all: int = 0  # 1: with the durable flags, `kill -9` does not even lose messages in flight

    @property
    def durable(self) -> bool:
        """Whether queued messages survive `kill -9`. nsqd needs both flags: with either alone it lost 500 of 500.

        Messages that are in flight or deferred are lost nevertheless: nsqd reads past them in its queue file.
        """
        return self.mem_queue_size == 0 and self.sync_every == 1
