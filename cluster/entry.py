"""What stands in a Raft entry, and what comes back from applying it.

An entry is an envelope around batches. The leader makes the envelope and stamps its time. Each batch was encoded by the
node that took the requests, and the leader passes it on without decoding it. A batch is a list of commands. Its result
is a list of results, one a command, in the same order. All is MessagePack (msgspec), every struct an array, so
that a field can be added at the end and old entries still read.

Proposers have done all that depends on tables, clocks or chance: texts are NFC and within limits, ids are hashed,
fingerprints computed. Nothing here is ever unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

FORMAT = 1
ID_HASH_BYTES = 8

State = Literal["draft", "open", "closed", "archived"]
Fingerprint = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class Choice(msgspec.Struct, array_like=True, frozen=True, gc=False):  # gc: ten thousand in an entry, no cycles
    """What a vote is for. `fingerprint` (see `fingerprint_of`) tells a resend from the same id with another choice."""

    option: str
    poll: str | None
    weight: int
    fingerprint: Fingerprint


# ---- commands -------------------------------------------------------------------------------------------------------


class CastVotes(msgspec.Struct, array_like=True, tag=1):
    """Votes that each stand alone. Votes with ids are columns: the i-th is for `choices[picks[i]]` with hash `ids[i]`.

    `picks` is little-endian uint32s, `ids` 8 bytes each. `plain` holds votes without ids, as (choice index, how many).
    """

    choices: list[Choice]
    ids: bytes = b""
    picks: bytes = b""
    plain: list[tuple[int, int]] = []


class CastOnce(msgspec.Struct, array_like=True, tag=2):
    """A whole request under one idempotency key: all or nothing. `sums` are (choice index, how many votes)."""

    key: bytes  # id hash of the key, 8 bytes
    fingerprint: Fingerprint  # of the body: the same key with another body is a conflict
    choices: list[Choice]
    sums: list[tuple[int, int]]


class OpenProducer(msgspec.Struct, array_like=True, tag=3):
    """Open a producer session, or raise its epoch: writers of an older epoch are refused from then on (as Kafka's)."""

    producer: str


class CastSession(msgspec.Struct, array_like=True, tag=4):
    """A batch in a producer session: all or nothing, `sequence` is one above the last or a resend of it."""

    producer: str
    epoch: int
    sequence: int
    fingerprint: Fingerprint
    choices: list[Choice]
    sums: list[tuple[int, int]]


class CreatePoll(msgspec.Struct, array_like=True, tag=5):
    """Create a poll. `initial_results` has what an imported poll starts with, a number an option; empty means zeros."""

    id: str
    title: str
    options: list[str]
    state: State
    closes_at_ms: int | None
    write_ins: bool
    initial_results: list[int] = []
    # Found in a sink: "same" for a poll that has the id, but for an earlier import whose results differ, whose start
    # is moved ("changed").
    imported: bool = False


class SetPollState(msgspec.Struct, array_like=True, tag=6):
    id: str
    state: State


class FormCluster(msgspec.Struct, array_like=True, tag=7):
    """The first command of a log. Proposed by the first leader; later ones change nothing."""

    cluster_id: str
    hash_key: bytes  # 16 bytes: keys the ids' hashes
    dedup_window: int


class SetDedupWindow(msgspec.Struct, array_like=True, tag=8):
    size: int


class RaiseGeneration(msgspec.Struct, array_like=True, tag=9):
    """Outrank every fence written so far (recovery, `sink adopt`). `reason` stands in the log for people."""

    reason: str


Command = (
    CastVotes
    | CastOnce
    | OpenProducer
    | CastSession
    | CreatePoll
    | SetPollState
    | FormCluster
    | SetDedupWindow
    | RaiseGeneration
)

# ---- results, one a command -----------------------------------------------------------------------------------------


class VotesResult(msgspec.Struct, array_like=True, tag=1):
    """`outcomes` has an `Outcome` byte for each vote with an id; `plain` one for each item of the command's `plain`."""

    outcomes: bytes
    plain: bytes


class WholeResult(msgspec.Struct, array_like=True, tag=2):
    """Of `CastOnce` and `CastSession`. If not APPLIED or DUPLICATE, `by_choice` says why (an `Outcome` byte a choice)
    where a choice was the reason, and is empty where the key or the sequence was."""

    outcome: int
    votes: int  # how many votes the request holds
    by_choice: bytes = b""
    detail: str = ""


class ProducerResult(msgspec.Struct, array_like=True, tag=3):
    epoch: int
    sequence: int  # the last one applied; 0 for a new session


class PollResult(msgspec.Struct, array_like=True, tag=4):
    """Of `CreatePoll` and `SetPollState`. `what` is created, same, changed, or the reason it was refused:
    conflict (another poll has the id), unknown_poll, bad_transition, too_large, invalid."""

    what: str
    before: str = ""  # the state found (bad_transition names both)
    detail: str = ""


class Done(msgspec.Struct, array_like=True, tag=5):
    """Of the commands on the cluster itself; `value` is what now holds (window size, generation)."""

    value: int


class Refused(msgspec.Struct, array_like=True, tag=6):
    """A command this state machine cannot read or that breaks a rule proposers should have kept. It changed nothing."""

    detail: str


Result = VotesResult | WholeResult | ProducerResult | PollResult | Done | Refused

# ---- encoding -------------------------------------------------------------------------------------------------------


class Envelope(msgspec.Struct, array_like=True):
    format: int
    time_ms: int  # the leader's clock, Unix time; clamped by the state machine so that it never runs backwards
    batches: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
_decode_batch = msgspec.msgpack.Decoder(list[Command]).decode


def encode_command(command: Command) -> bytes:
    return _encode(command)


def encode_batch(commands: Sequence[Command | msgspec.Raw]) -> bytes:
    """Each a command, or what `encode_command` made of it."""
    return _encode(commands)


def decode_batch(batch: bytes) -> list[Command]:
    """Raises `msgspec.DecodeError` (or its subclass `ValidationError`) on bytes that are no batch."""
    return _decode_batch(batch)


def encode_entry(time_ms: int, batches: list[bytes]) -> bytes:
    return _encode(Envelope(FORMAT, time_ms, batches))


def decode_entry(entry: bytes) -> Envelope:
    """Raises `msgspec.DecodeError` on bytes that are no entry."""
    return _decode_envelope(entry)


# ---- what proposers compute -----------------------------------------------------------------------------------------


def hash_id(id: str, hash_key: bytes) -> bytes:
    """The 8 bytes an id is remembered by. Keyed, so that nobody can prepare two ids that clash."""
    return hashlib.blake2b(id.encode(), digest_size=ID_HASH_BYTES, key=hash_key).digest()


def fingerprint_of(option: str, poll: str | None, weight: int) -> int:
    """32 bits that tell choices apart. No key: the same choice has the same fingerprint on every node for ever."""
    data = _encode((option, poll, weight))
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "little")


def fingerprint_of_body(sums: list[tuple[Choice, int]]) -> int:
    """32 bits over a whole request, the same however its votes are ordered or spelt in JSON."""
    data = _encode(sorted((c.option, c.poll or "", c.weight, n) for c, n in sums))
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "little")
