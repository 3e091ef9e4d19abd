"""What replicas say to each other, as bytes: a format of our own, bounded, and nothing that runs when it is read.

PySyncObj speaks dicts that its own transport pickles. Here every message is a MessagePack array with a type number,
decoded into fixed structs: whatever a peer sends is one of these or a `DecodeError`.
"""

from __future__ import annotations

import msgspec

LogEntry = tuple[bytes, int, int]  # command, index, term: as PySyncObj keeps them


class Append(msgspec.Struct, array_like=True, tag=1):
    """AppendEntries (Raft §5.3); a heartbeat when `entries` is empty. Entries follow `prev_index` without a gap."""

    term: int
    commit_index: int
    prev_index: int
    prev_term: int
    entries: list[tuple[int, bytes]]  # term, command
    round: int = 0  # echoed by the answer: confirms leadership for reads that began before it was sent


class Appended(msgspec.Struct, array_like=True, tag=2):
    """The answer. `next_index` is one above the last index that is durable and matches (`success`), or where to go
    on from (`reset`); neither means only "I hear you"."""

    term: int
    next_index: int
    success: bool
    reset: bool
    round: int = 0


class RequestBallot(msgspec.Struct, array_like=True, tag=3):
    """RequestVote. `pre` only asks whether a ballot would be given (Raft thesis 9.6) and changes nothing."""

    term: int
    last_index: int
    last_term: int
    pre: bool
    transfer: bool  # the leader asked for this election, so a fresh leader is no reason to refuse
    to: str = ""  # the incarnation that the candidate's log has as the voter it asks; "" before the log names any


class Ballot(msgspec.Struct, array_like=True, tag=4):
    """A ballot given; a refusal is silence, as in PySyncObj."""

    term: int
    pre: bool


class TimeoutNow(msgspec.Struct, array_like=True, tag=5):
    """Leadership transfer (Raft thesis 3.10)."""

    term: int


class SnapshotChunk(msgspec.Struct, array_like=True, tag=6):
    """A piece of a snapshot. `id` is the checksum of the whole, so pieces of two snapshots never mix."""

    term: int
    index: int
    index_term: int
    chain: bytes
    members: bytes
    size: int
    id: str
    offset: int
    data: bytes


class SnapshotAck(msgspec.Struct, array_like=True, tag=7):
    """How far the snapshot `id` has arrived: the next offset wanted. The end is told by `Appended`."""

    term: int
    id: str
    offset: int


Message = Append | Appended | RequestBallot | Ballot | TimeoutNow | SnapshotChunk | SnapshotAck

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Message).decode  # raises msgspec.DecodeError
