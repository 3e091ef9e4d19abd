"""The format of the log's files: their records, and how damage is detected.

The log is a sequence of segments, `log-<number>.seg`. Data is only ever appended to a segment. A record is

    crc32 (4 bytes) of all that follows | length of the payload (4) | kind (1) | payload

with little-endian numbers. A segment begins with a HEAD, which repeats everything that replay needs to begin there.
Every later group of records begins with a MARK. A group is written only after the group before it was synced. So a MARK
(or a next segment) proves that every byte before it was durable: an unreadable byte before a MARK is damage, not a tail
torn by a crash. `log.synced` (the hint) says how far the last sync reached. The hint is not synced itself: it survives
a killed process, but may be old after a power loss.

Each entry carries a chain value: chain(i) = blake2b-128(chain(i-1) | index | term | command), the numbers as 8 bytes,
little-endian; the chain before the first entry (index 1) is 16 zero bytes. Anyone can verify an archived log with it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from quorate.errors import DataError

FORMAT = 1
HINT_NAME = "log.synced"
NAME = re.compile(r"log-(\d{20})\.seg")
CHAIN_BYTES = 16
BALLOT_BYTES_MAX = 512
HEAD_BYTES_MAX = 1024

HEAD, MARK, ENTRY, CUT, TERM = 1, 2, 3, 4, 5

_MAGIC = b"\xf5Quor\x9al\n"
FRAME = struct.Struct("<IIB")
ENTRY_HEAD = struct.Struct("<16sQQ")  # chain, index, term; the command follows
CRC_BYTES = 4
_REST = struct.Struct("<IB")  # the frame after its checksum
_ENTRY_ALL = struct.Struct("<IB16sQQ")
_NUMBERS = struct.Struct("<QQ")
_HEAD = struct.Struct("<8sHBQQQQQ16sQ")
_MARK = struct.Struct("<8sQQQB")
_CUT = struct.Struct("<QQ16s")
_HINT = struct.Struct("<8sQQ")


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the log: an entry, without its command."""

    index: int
    term: int
    chain: bytes


GENESIS = Point(1, 0, bytes(CHAIN_BYTES))  # the element that a new log begins with; no leader ever proposed it


class Head(NamedTuple):
    """The first record of a segment. Replay may begin at a segment whose base is in a snapshot."""

    number: int
    reset: bool  # a snapshot replaced the log: it begins here, and the segments before this one are to be removed
    previous_size: int  # synced bytes of the segment before this one; 0 if there is none or it does not matter
    committed: int
    base: Point  # the last entry before this segment
    term: int
    ballot: str | None


class GroupMark(NamedTuple):
    """The first record of a group. It proves that everything before it was durable."""

    number: int
    offset: int  # of this mark: a copy of it at another place proves nothing
    committed: int
    clean: bool  # written by an orderly stop


class Hint(NamedTuple):
    """How far the last sync reached."""

    number: int
    size: int  # bytes of that segment that have been synced


def name_of(number: int) -> str:
    # Numbers, not first indexes: after a truncation a later segment may begin at an earlier entry.
    return f"log-{number:020d}.seg"


def chain_of(previous: bytes, index: int, term: int, command: bytes) -> bytes:
    chain = blake2b(previous + _NUMBERS.pack(index, term), digest_size=CHAIN_BYTES)
    chain.update(command)
    return chain.digest()


# ---- writing --------------------------------------------------------------------------------------------------------


def frame(kind: int, payload: bytes) -> bytes:
    rest = _REST.pack(len(payload), kind) + payload
    return crc32(rest).to_bytes(CRC_BYTES, "little") + rest


def entry_prefix(index: int, term: int, chain: bytes, command: bytes) -> bytes:
    """An entry's record without its command. The command is written after it, so that a big one is not copied."""
    rest = _ENTRY_ALL.pack(ENTRY_HEAD.size + len(command), ENTRY, chain, index, term)
    return crc32(command, crc32(rest)).to_bytes(CRC_BYTES, "little") + rest


def head_record(head: Head) -> bytes:
    fixed = _HEAD.pack(
        _MAGIC,
        FORMAT,
        head.reset,
        head.number,
        head.previous_size,
        head.committed,
        head.base.index,
        head.base.term,
        head.base.chain,
        head.term,
    )
    return frame(HEAD, fixed + _ballot(head.ballot))


def mark_record(mark: GroupMark) -> bytes:
    return frame(MARK, _MARK.pack(_MAGIC, *mark))


def cut_record(last: Point) -> bytes:
    """Says that the log ends at `last`: the entries after it conflicted with the leader's."""
    return frame(CUT, _CUT.pack(last.index, last.term, last.chain))


def term_record(term: int, ballot: str | None) -> bytes:
    return frame(TERM, term.to_bytes(8, "little") + _ballot(ballot))


def hint_bytes(hint: Hint) -> bytes:
    data = _HINT.pack(_MAGIC, *hint)
    return data + crc32(data).to_bytes(CRC_BYTES, "little")


def _ballot(ballot: str | None) -> bytes:
    if ballot is None:
        return b"\0"
    text = ballot.encode()
    if len(text) > BALLOT_BYTES_MAX:
        raise ValueError(f"a node id of {len(text)} bytes; the limit is {BALLOT_BYTES_MAX}")
    return b"\1" + text


# ---- reading --------------------------------------------------------------------------------------------------------


def parse_head(data: bytes) -> tuple[Head, int] | None:
    """The head at the start of a segment and the offset of its end, or None if it is torn or damaged."""
    payload = _payload(data, 0, HEAD)
    if payload is None or payload[: len(_MAGIC)] != _MAGIC:
        return None
    format = int.from_bytes(payload[len(_MAGIC) : len(_MAGIC) + 2], "little")
    if format != FORMAT:
        raise DataError(
            f"the log has format {format}, this version of Quorate reads {FORMAT}: run the one that wrote it"
        )
    _, _, reset, number, previous_size, committed, index, term, chain, current = _HEAD.unpack_from(payload)
    ballot = parse_ballot(payload[_HEAD.size :])
    head = Head(number, bool(reset), previous_size, committed, Point(index, term, chain), current, ballot)
    return head, FRAME.size + len(payload)


def parse_mark(payload: bytes | memoryview) -> GroupMark:
    _, number, offset, committed, clean = _MARK.unpack(payload)
    return GroupMark(number, offset, committed, bool(clean))


def parse_cut(payload: bytes | memoryview) -> Point:
    return Point(*_CUT.unpack(payload))


def parse_term(payload: bytes | memoryview) -> tuple[int, str | None]:
    return int.from_bytes(payload[:8], "little"), parse_ballot(bytes(payload[8:]))


def parse_ballot(data: bytes) -> str | None:
    return data[1:].decode() if data[0] else None


def parse_hint(data: bytes) -> Hint | None:
    """None if it is torn: a node can start without a hint."""
    body = data[: _HINT.size]
    if len(data) != _HINT.size + CRC_BYTES or int.from_bytes(data[_HINT.size :], "little") != crc32(body):
        return None
    magic, number, size = _HINT.unpack(body)
    return Hint(number, size) if magic == _MAGIC else None


def find_mark(data: bytes, number: int, start: int) -> int | None:
    """The offset of the first undamaged mark of this segment at or after `start`."""
    at = data.find(_MAGIC, start)
    while at >= 0:
        offset = at - FRAME.size
        payload = _payload(data, offset, MARK) if offset >= start else None
        if payload is not None and len(payload) == _MARK.size and parse_mark(payload)[:2] == (number, offset):
            return offset
        at = data.find(_MAGIC, at + 1)
    return None


def _payload(data: bytes, at: int, kind: int) -> bytes | None:
    if len(data) < at + FRAME.size:
        return None
    crc, size, found = FRAME.unpack_from(data, at)
    stop = at + FRAME.size + size
    if found != kind or stop > len(data) or crc32(data[at + CRC_BYTES : stop]) != crc:
        return None
    return data[at + FRAME.size : stop]
