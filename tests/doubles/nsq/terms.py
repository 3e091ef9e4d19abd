"""What a client asks for in IDENTIFY, and the terms that nsqd and the client agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tests.doubles.nsq import wire
from tests.doubles.nsq.wire import Options, ProtocolError


class Identify(msgspec.Struct):
    client_id: str = ""
    hostname: str = ""
    user_agent: str = ""
    feature_negotiation: bool = False
    heartbeat_interval: int = 0
    output_buffer_size: int = 0
    output_buffer_timeout: int = 0
    sample_rate: int = 0
    msg_timeout: int = 0
    tls_v1: bool = False
    deflate: bool = False
    snappy: bool = False


@dataclass(slots=True)
class Terms:
    """The terms of one connection. Before IDENTIFY they are nsqd's defaults."""

    heartbeat_ms: int
    msg_timeout_ms: int
    output_buffer_size: int = 16 * 1024
    output_buffer_timeout_ms: int = 250
    sample_rate: int = 0

    @classmethod
    def of(cls, options: Options) -> Terms:
        return cls(options.client_timeout_ms // 2, options.msg_timeout_ms)

    def agree(self, wish: Identify, options: Options) -> None:
        """Adopt what the client asks for. Raises `ProtocolError` if a value is outside the limits."""
        self.heartbeat_ms = agreed_wish(
            "heartbeat interval", wish.heartbeat_interval, self.heartbeat_ms, 1000, options.max_heartbeat_interval_ms
        )
        self.output_buffer_timeout_ms = agreed_wish(
            "output buffer timeout",
            wish.output_buffer_timeout,
            self.output_buffer_timeout_ms,
            options.min_output_buffer_timeout_ms,
            options.max_output_buffer_timeout_ms,
        )
        size = agreed_wish(
            "output buffer size", wish.output_buffer_size, self.output_buffer_size, 64, options.max_output_buffer_size
        )
        if wish.output_buffer_size == -1:
            size, self.output_buffer_timeout_ms = 1, 0
        self.output_buffer_size = size
        if not 0 <= wish.sample_rate <= 99:
            raise ProtocolError("E_BAD_BODY", f"IDENTIFY sample rate ({wish.sample_rate}) is invalid")
        self.sample_rate = wish.sample_rate
        if wish.msg_timeout:
            self.msg_timeout_ms = checked_wish("msg timeout", wish.msg_timeout, 1000, options.max_msg_timeout_ms)

    def as_told(self, options: Options) -> dict[str, Any]:
        """The answer to IDENTIFY."""
        return {
            "max_rdy_count": options.max_rdy_count,
            "version": wire.VERSION,
            "max_msg_timeout": options.max_msg_timeout_ms,
            "msg_timeout": self.msg_timeout_ms,
            "tls_v1": False,
            "deflate": False,
            "deflate_level": 6,
            "max_deflate_level": 6,
            "snappy": False,
            "sample_rate": self.sample_rate,
            "auth_required": False,
            "output_buffer_size": self.output_buffer_size,
            "output_buffer_timeout": self.output_buffer_timeout_ms,
            "topology_region": "",
            "topology_zone": "",
        }


def checked_wish(what: str, wish: int, least: int, most: int) -> int:
    if not least <= wish <= most:
        raise ProtocolError("E_BAD_BODY", f"IDENTIFY {what} ({wish}) is invalid")
    return wish


def agreed_wish(what: str, wish: int, default: int, least: int, most: int) -> int:
    """A wish of 0 asks for the default, and -1 for none."""
    if wish == 0:
        return default
    return 0 if wish == -1 else checked_wish(what, wish, least, most)
