"""The Raft messages between nodes, and their format on the wire.

PySyncObj sends dicts, which its own transport pickles. Here every message is a MessagePack array with a type number,
decoded into a fixed struct. Whatever bytes a peer sends, the result is one of these structs, with its numbers within
bounds, or one of the errors in `MALFORMED`. Decoding never runs code that a peer chose.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

TERMS_AHEAD_MAX = 2**32  # no cluster has so many elections: ten a second for thirteen years

# Terms, indexes, offsets. One more than the greatest still fits the eight bytes that the log has for them.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Chain = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
SnapshotId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]  # part of a file's name


class Append(msgspec.Struct, array_like=True, tag=1):
    """AppendEntries (Raft §5.3); without entries a heartbeat. Entries follow `prev_index` without a gap."""

    term: Count
    commit_index: Count
    prev_index: Count
    prev_term: Count
    entries: list[tuple[Count, bytes]]  # term, command
    round: Count = 0  # echoed by the answer: confirms leadership for reads that began before this was sent


class Appended(msgspec.Struct, array_like=True, tag=2):
    """The answer to Append.

    With `success`, `next_index` is one after the last entry that matches and is durable. With `reset`, it is the index
    from which the leader is to go on. With neither, the answer only says that the follower is alive.
    """

    term: Count
    next_index: Count
    success: bool
    reset: bool
    round: Count = 0


class RequestBallot(msgspec.Struct, array_like=True, tag=3):
    """RequestVote. With `pre` it only asks whether a ballot would be given (Raft thesis 9.6), and changes nothing."""

    term: Count
    last_index: Count
    last_term: Count
    pre: bool
    transfer: bool  # the leader asked for this election, so a fresh leader is no reason to refuse
    to: str = ""  # the incarnation of the asked voter in the candidate's log; "" if the log names none


class Ballot(msgspec.Struct, array_like=True, tag=4):
    """A given ballot. A refusal is not sent, as in PySyncObj."""

    term: Count
    pre: bool


class TimeoutNow(msgspec.Struct, array_like=True, tag=5):
    """Leadership transfer (Raft thesis 3.10): the leader asks a follower to start an election."""

    term: Count


class SnapshotChunk(msgspec.Struct, array_like=True, tag=6):
    """A piece of a snapshot. `id` is the checksum of the whole snapshot, so pieces of two snapshots never mix."""

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
    """How far the snapshot `id` has arrived: the next offset wanted. `Appended` tells when it is installed."""

    term: Count
    id: SnapshotId
    offset: Count


Message = Append | Appended | RequestBallot | Ballot | TimeoutNow | SnapshotChunk | SnapshotAck

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Message).decode
# The errors of decoding, here and for every struct. Text that is not UTF-8 and deep nesting have errors of their own.
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
