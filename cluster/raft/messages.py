"""What replicas say to each other, as bytes: a format of our own, bounded, and nothing that runs when it is read.

PySyncObj speaks dicts that its own transport pickles. Here every message is a MessagePack array with a type number,
decoded into fixed structs: whatever a peer sends is one of these, within bounds, or one of the errors of `MALFORMED`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

# Terms, indexes, offsets: one more still fits the eight bytes that the log has for them.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Chain = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
SnapshotId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]  # it becomes part of a file's name


class Append(msgspec.Struct, array_like=True, tag=1):
    """AppendEntries (Raft §5.3); a heartbeat when `entries` is empty. Entries follow `prev_index` without a gap."""

    term: Count
    commit_index: Count
    prev_index: Count
    prev_term: Count
    entries: list[tuple[Count, bytes]]  # term, command
    round: Count = 0  # echoed by the answer: confirms leadership for reads that began before it was sent


class Appended(msgspec.Struct, array_like=True, tag=2):
    """The answer. `next_index` is one above the last index that is durable and matches (`success`), or where to go
    on from (`reset`); neither means only "I hear you"."""

    term: Count
    next_index: Count
    success: bool
    reset: bool
    round: Count = 0


class RequestBallot(msgspec.Struct, array_like=True, tag=3):
    """RequestVote. `pre` only asks whether a ballot would be given (Raft thesis 9.6) and changes nothing."""

    term: Count
    last_index: Count
    last_term: Count
    pre: bool
    transfer: bool  # the leader asked for this election, so a fresh leader is no reason to refuse
    to: str = ""  # the incarnation that the candidate's log has as the voter it asks; "" before the log names any


class Ballot(msgspec.Struct, array_like=True, tag=4):
    """A ballot given; a refusal is silence, as in PySyncObj."""

    term: Count
    pre: bool


class TimeoutNow(msgspec.Struct, array_like=True, tag=5):
    """Leadership transfer (Raft thesis 3.10)."""

    term: Count


class SnapshotChunk(msgspec.Struct, array_like=True, tag=6):
    """A piece of a snapshot. `id` is the checksum of the whole, so pieces of two snapshots never mix."""

    term: Count
    index: Count
    index_term: Count
    chain: Chain
    members: bytes
    size: Count
    id: SnapshotId
    offset: Count
    data: bytes


class SnapshotAck(msgspec.Struct, array_like=True, tag=7):
    """How far the snapshot `id` has arrived: the next offset wanted. The end is told by `Appended`."""

    term: Count
    id: SnapshotId
    offset: Count


Message = Append | Appended | RequestBallot | Ballot | TimeoutNow | SnapshotChunk | SnapshotAck

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Message).decode
# What decoding raises, here and for every struct: text that is not UTF-8 and endless nesting have errors of their own.
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
