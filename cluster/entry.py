"""What stands in a Raft entry, and what comes back from applying it.

An entry is an envelope around batches. The leader makes the envelope and stamps its time. Each batch was encoded by the
node that took the requests, and the leader passes it on without decoding it. A batch is a list of commands. Its result
is a list of results, one a command, in the same order. All is MessagePack (msgspec), every struct an array, so
that a field can be added at the end and old entries can still be read.

The proposer has done all that depends on tables, clocks or chance: texts are in NFC and within their limits, ids are
hashed, fingerprints are computed. Nothing here is ever unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

FORMAT = 1
ID_HASH_BYTES = 8

State = Literal["draft", "open", "closed", "archived"]
Fingerprint = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class Choice(
    msgspec.Struct, array_like=True, frozen=True, gc=False
):  # gc=False: an entry may have ten thousand, and they hold no cycles
    """What a vote is for. `fingerprint` (see `fingerprint_of`) tells a resend from another choice under the same id."""

    option: str
    poll: str | None
    weight: int
    fingerprint: Fingerprint


# ---- commands -------------------------------------------------------------------------------------------------------


class CastVotes(msgspec.Struct, array_like=True, tag=1):
    """Votes that are decided one by one.

    Votes with ids are columns: vote i is for `choices[picks[i]]`, and its id hash is `ids[i]`. A pick is a uint32,
    little-endian. An id hash has 8 bytes. `plain` has the votes without ids, as (choice index, how many votes).
    """

    choices: list[Choice]
    ids: bytes = b""
    picks: bytes = b""
    plain: list[tuple[int, int]] = []


class CastOnce(msgspec.Struct, array_like=True, tag=2):
    """A whole request under one idempotency key: all its votes count, or none.

    `sums` has (choice index, how many votes).
    """

    key: bytes  # the id hash of the key, 8 bytes
    fingerprint: Fingerprint  # of the whole body: the same key with another body is a conflict
    choices: list[Choice]
    sums: list[tuple[int, int]]


class OpenProducer(msgspec.Struct, array_like=True, tag=3):
    """Open a producer session, or raise its epoch: writers of an older epoch are refused from then on, as in Kafka."""

    producer: str


class CastSession(msgspec.Struct, array_like=True, tag=4):
    """A numbered request of a producer session: all its votes count, or none. `sequence` is one above the last, or that
    of a request which is sent again."""

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
    # True: the poll was found in a sink. If a poll has this id already, that is the "same" one, with one exception: if
    # it was imported with other initial results, these take the place of the earlier ones ("changed").
    imported: bool = False


class SetPollState(msgspec.Struct, array_like=True, tag=6):
    id: str
    state: State


class FormCluster(msgspec.Struct, array_like=True, tag=7):
    """The first command of a log, proposed by the first leader. A later one changes nothing."""

    cluster_id: str
    hash_key: bytes  # 16 bytes, the key of the hashes of ids
    dedup_window: int


class SetDedupWindow(msgspec.Struct, array_like=True, tag=8):
    size: int


class RaiseGeneration(msgspec.Struct, array_like=True, tag=9):
    """Outrank every fence that was written so far: after a recovery, and for `sink adopt`. `reason` is for people who
    read the log."""

    reason: str


class ChangePoll(msgspec.Struct, array_like=True, tag=10):
    """Change a poll's definition: all of this, or nothing if any of it is refused. Since level 1.

    Options are only added. Those that the poll has already are no change. The others start from zero.
    """

    id: str
    title: str | None  # None: it stays
    add_options: list[str]
    changes_closing: bool  # False: `closes_at_ms` says nothing, and the closing time stays
    closes_at_ms: int | None  # None: the poll has no closing time any more


class DeletePoll(msgspec.Struct, array_like=True, tag=11):
    """Delete a draft or an archived poll. Since level 1, as all commands below.

    `creation` is the number of the creation that is meant. None means the poll that has the id now, and it is refused
    while a tombstone of the id lasts: the command may be an old one that was sent again.
    """

    id: str
    creation: int | None


class ForgetTombstones(msgspec.Struct, array_like=True, tag=12):
    """Forget these deleted polls, as (id, creation), as far as they are old enough. The leader proposes it when every
    sink has marked their documents."""

    polls: list[tuple[str, int]]


class Seen(msgspec.Struct, array_like=True, tag=13):
    """How much the proposer of this batch knew: the newest poll that took the name of a deleted one.

    Votes of the batch that name a newer such poll were meant for the deleted one, or may have been. They do not count.
    """

    creation: int


class InShare(msgspec.Struct, array_like=True, tag=16):
    """The share of the dedup window that the votes are in which follow in this batch: 0 (the common one) to 8."""

    share: int


class ForgetProducer(msgspec.Struct, array_like=True, tag=14):
    """Forget a producer session. `epoch` is the session's epoch that is meant; None is as in `DeletePoll`."""

    producer: str
    epoch: int | None


class RenewProducer(msgspec.Struct, array_like=True, tag=15):
    """The same as `OpenProducer`, also for a name that was forgotten."""

    producer: str


class RaiseLevel(msgspec.Struct, array_like=True, frozen=True):
    """The content of an entry that raises the feature level. It is no command: the entry has a kind of its own in the
    log, at which version 0.1.0 stops instead of passing over it. So no node goes on without it."""

    level: Annotated[int, msgspec.Meta(ge=1, le=2**16)]


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
    | ChangePoll
    | DeletePoll
    | ForgetTombstones
    | Seen
    | ForgetProducer
    | RenewProducer
    | InShare
)

# ---- feature levels -------------------------------------------------------------------------------------------------

FEATURE_LEVEL = 1  # what this program can do: see docs/design/raft.md, "Feature level"
LEVEL_VERSIONS = {0: "0.1.0", 1: "0.2.0"}  # the first version with each level
# Commands that came after 0.1.0, with the level that each needs. Below it, every node refuses the command alike.
LEVEL_NEEDED: dict[type, int] = {
    ChangePoll: 1,
    DeletePoll: 1,
    ForgetTombstones: 1,
    Seen: 1,
    ForgetProducer: 1,
    RenewProducer: 1,
    InShare: 1,
}

# ---- results, one per command ---------------------------------------------------------------------------------------


class VotesResult(msgspec.Struct, array_like=True, tag=1):
    """`outcomes` has an `Outcome` byte for each vote with an id, `plain` one for each item of the command's `plain`."""

    outcomes: bytes
    plain: bytes


class WholeResult(msgspec.Struct, array_like=True, tag=2):
    """The result of `CastOnce` and `CastSession`.

    If the request was refused because of a choice, `by_choice` has an `Outcome` byte for each choice. If it was refused
    because of its key or its sequence, `by_choice` is empty.
    """

    outcome: int
    votes: int  # how many votes the request holds
    by_choice: bytes = b""
    detail: str = ""


class ProducerResult(msgspec.Struct, array_like=True, tag=3):
    epoch: int
    sequence: int  # the last one applied; 0 for a new session


class PollResult(msgspec.Struct, array_like=True, tag=4):
    """The result of `CreatePoll`, `SetPollState`, `ChangePoll` and `DeletePoll`.

    `what` is created, same, changed or removed, or the reason why the command was refused: conflict (another poll has
    the id), unknown_poll, deleted, bad_transition, archived, too_large, invalid.
    """

    what: str
    before: str = ""  # the poll's state before the command
    detail: str = ""
    creation: int = 0  # of the poll that was created or removed. Nodes of 0.1.0 pass over it


class Done(msgspec.Struct, array_like=True, tag=5):
    """The result of commands on the cluster itself. `value` is what holds now: the window's size or the generation."""

    value: int


class Refused(msgspec.Struct, array_like=True, tag=6):
    """The result of a command that cannot be read, or that breaks a rule which proposers keep. It changed nothing."""

    detail: str


class ForgetResult(msgspec.Struct, array_like=True, tag=7):
    """The result of `ForgetProducer`, and of opening a producer that was forgotten. Only from level 1 on.

    `what` is forgotten, or the reason why the command was refused: unknown, gone (forgotten before), too_large.
    """

    what: str
    epoch: int = 0  # of the session that was forgotten
    sequence: int = 0
    detail: str = ""


Result = VotesResult | WholeResult | ProducerResult | PollResult | Done | Refused | ForgetResult

# ---- encoding -------------------------------------------------------------------------------------------------------


class Envelope(msgspec.Struct, array_like=True):
    format: int
    time_ms: int  # the leader's clock, Unix time; the state machine takes care that it never runs backwards
    batches: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
_decode_batch = msgspec.msgpack.Decoder(list[Command]).decode
_decode_raise = msgspec.msgpack.Decoder(RaiseLevel).decode


def encode_command(command: Command) -> bytes:
    return _encode(command)


def encode_batch(commands: Sequence[Command | msgspec.Raw]) -> bytes:
    """Each item is a command, or what `encode_command` made of one."""
    return _encode(commands)


def decode_batch(batch: bytes) -> list[Command]:
    """Raises `msgspec.DecodeError` (or its subclass `ValidationError`) on bytes that are no batch."""
    return _decode_batch(batch)


def encode_entry(time_ms: int, batches: list[bytes]) -> bytes:
    return _encode(Envelope(FORMAT, time_ms, batches))


def decode_entry(entry: bytes) -> Envelope:
    """Raises `msgspec.DecodeError` on bytes that are no entry."""
    return _decode_envelope(entry)


def encode_raise(level: int) -> bytes:
    return _encode(RaiseLevel(level))


def decode_raise(data: bytes) -> RaiseLevel:
    """Raises `msgspec.DecodeError` on bytes that raise no level."""
    return _decode_raise(data)


# ---- what proposers compute -----------------------------------------------------------------------------------------


def hash_id(id: str, hash_key: bytes) -> bytes:
    """The 8 bytes that an id is remembered by. The hash is keyed, so nobody can prepare two ids that clash."""
    hashed = _begun_hash(hash_key).copy()
    hashed.update(id.encode())
    return hashed.digest()


def hash_ids(ids: Iterable[str | None], hash_key: bytes) -> list[bytes | None]:
    """`hash_id` of each; None of a vote without one."""
    copy, hashes = _begun_hash(hash_key).copy, list[bytes | None]()
    for id in ids:
        if id is None:
            hashes.append(None)
        else:
            hashed = copy()
            hashed.update(id.encode())
            hashes.append(hashed.digest())
    return hashes


@lru_cache(maxsize=2)
def _begun_hash(hash_key: bytes) -> hashlib.blake2b:
    """It is copied for each id, which takes half as long as to begin one."""
    return hashlib.blake2b(digest_size=ID_HASH_BYTES, key=hash_key)


def fingerprint_of(option: str, poll: str | None, weight: int) -> int:
    """32 bits that tell choices apart. It has no key: a choice has the same fingerprint on every node for ever."""
    data = _encode((option, poll, weight))
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "little")


def fingerprint_of_body(sums: list[tuple[Choice, int]]) -> int:
    """32 bits over a whole request. The order of its votes and how they are written in JSON make no difference."""
    data = _encode(sorted((c.option, c.poll or "", c.weight, n) for c, n in sums))
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "little")
