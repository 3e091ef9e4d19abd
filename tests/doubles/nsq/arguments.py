"""The arguments of a client's commands, checked as nsqd checks them. A wrong one raises `ProtocolError`."""

from __future__ import annotations

import struct

from tests.doubles.nsq import wire
from tests.doubles.nsq.wire import Options, ProtocolError


def split_mpub(body: bytes, options: Options) -> list[bytes]:
    """The messages of an MPUB. nsqd does not check that the sizes add up to the body's size; this does."""
    if len(body) < 4:
        raise ProtocolError("E_BAD_BODY", "MPUB failed to read message count")
    (count,) = struct.unpack_from(">i", body)
    if not 0 < count <= (options.max_body_size - 4) // 5:
        raise ProtocolError("E_BAD_BODY", f"MPUB invalid message count {count}")
    messages, at = [], 4
    for index in range(count):
        if at + 4 > len(body):
            raise ProtocolError("E_BAD_MESSAGE", f"MPUB failed to read message({index}) body size")
        (size,) = struct.unpack_from(">i", body, at)
        if size <= 0:
            raise ProtocolError("E_BAD_MESSAGE", f"MPUB invalid message({index}) body size {size}")
        if size > options.max_msg_size:
            raise ProtocolError("E_BAD_MESSAGE", f"MPUB message too big {size} > {options.max_msg_size}")
        at += 4 + size
        messages.append(body[at - size : at])
    if at != len(body):
        raise ProtocolError("E_BAD_MESSAGE", "MPUB failed to read message body")
    return messages


def checked_name(command: str, what: str, raw: bytes) -> str:
    name = raw.decode(errors="replace")
    if not wire.is_name(name):
        raise ProtocolError(f"E_BAD_{what.upper()}", f'{command} {what} name "{name}" is not valid')
    return name


def checked_number(command: str, what: str, raw: bytes) -> int:
    try:
        return wire.decimal(raw)
    except ValueError:
        raise ProtocolError("E_INVALID", f"{command} could not parse {what} {raw.decode(errors='replace')}") from None
