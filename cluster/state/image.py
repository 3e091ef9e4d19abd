"""The state machine's bytes: what a snapshot holds, and what nodes compare to know that they agree.

They are a fixed head, then blocks of MessagePack or of little-endian columns, each with its length before it, and at
the end a blake2b checksum of all of it. Freezing copies what may change: it runs on the loop and takes milliseconds.
Encoding works on the copy in another thread, in small steps, so that it never holds the interpreter for long. Nothing
is ever unpickled.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Annotated, Any, TypeVar

import msgspec

from quorate.cluster.entry import FEATURE_LEVEL, State
from quorate.cluster.state.dedup import ClosedGeneration, FrozenDedup, pack, unpack
from quorate.cluster.state.sessions import ForgottenProducer, Session
from quorate.cluster.state.tally import Poll
from quorate.cluster.state.tombstones import Tombstone
from quorate.errors import DataError
from quorate.words import count

if sys.byteorder != "little":
    raise ImportError("Quorate's columns are little-endian: this machine's byte order is not supported")

MAGIC = b"quorate\x01"  # the last byte is the format's version
MAGIC_OF_LEVELS = b"quorate\x02"  # the same with the feature level in its head; 0.1.0 refuses it in words
CHECKSUM_BYTES = 32
FIELDS_OF_LEVEL_0 = 10  # of the head
NUMBERLESS_FIELDS = 12  # of a poll
ROWS_A_BLOCK = 10_000  # so encoding holds the interpreter for a millisecond or two at a time

_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode


class ImageHead(msgspec.Struct, array_like=True, frozen=True):
    version: int
    time_ms: int
    cluster_id: str
    hash_key: bytes
    generation: int
    chain: bytes
    counted: int
    options: int
    polls: int
    producers: int
    # Zeros at the end are not written: an image of level 0 is the same to the byte as one of 0.1.0.
    level: Annotated[int, msgspec.Meta(ge=0)] = 0
    creations: int = 0
    tombstones: int = 0
    forgotten_ms: int = 0
    forgotten_producers: int = 0
    shares: int = 0


class PollRecord(msgspec.Struct, array_like=True, frozen=True):
    id: str
    title: str
    state: State
    closes_at_ms: int | None
    write_ins: bool
    created_ms: int
    version: int
    definition: bytes
    names: list[str]  # of a write-in poll; other polls have places in the common column of names
    base: bytes
    shared: bytes
    initial_results: bytes | None
    # Written only for a poll with a number.
    creation: int = 0
    again: bool = False
    since_ms: int = 0


class _DedupRecord(msgspec.Struct, array_like=True, frozen=True):
    window: int
    accepted: int
    count: int
    head_bytes: int
    closed: list[tuple[int, int, bytes]]  # (count, expires, ends)


@dataclass(frozen=True, slots=True)
class Image:
    """A state machine at one version. Nothing in it changes any more."""

    head: ImageHead
    names: Sequence[str]
    totals: bytes
    polls: Sequence[PollRecord]
    sessions: dict[str, Session]
    dedup: FrozenDedup
    tombstones: Sequence[Tombstone] = ()
    forgotten_producers: Sequence[ForgottenProducer] = ()
    shares: Sequence[tuple[int, FrozenDedup]] = ()  # of the dedup window, but for the common one

    @property
    def version(self) -> int:
        return self.head.version

    def encode(self) -> bytes:
        """The bytes of the whole image. Any thread may call this."""
        return b"".join(self.chunks())

    def digest(self) -> bytes:
        return deque(self.chunks(), maxlen=1)[0]

    def chunks(self) -> Iterator[bytes]:
        """What `encode` gives, in chunks. The last chunk is the checksum."""
        magic = MAGIC_OF_LEVELS if self.head.level else MAGIC
        checksum = hashlib.blake2b(magic, digest_size=CHECKSUM_BYTES)
        yield magic
        for block in self._blocks():
            size = len(block).to_bytes(8, "little")
            checksum.update(size)
            checksum.update(block)
            yield size
            yield block
        yield checksum.digest()

    def _blocks(self) -> Iterator[bytes]:
        yield _encode(_without_zeros(self.head))
        yield from map(_encode, _row_blocks(self.names))
        yield self.totals
        for record in self.polls:
            yield _encode(record if record.creation else msgspec.structs.astuple(record)[:NUMBERLESS_FIELDS])
        yield from map(_encode, _row_blocks(self.sessions.items()))
        yield from _dedup_blocks(self.dedup)
        yield from map(_encode, _row_blocks(self.tombstones))
        yield from map(_encode, _row_blocks(self.forgotten_producers))
        for number, ids in self.shares:
            yield _encode(number)
            yield from _dedup_blocks(ids)


def _dedup_blocks(ids: FrozenDedup) -> Iterator[bytes]:
    closed = [(c.count, c.expires, c.ends.tobytes()) for c in ids.closed]
    yield _encode(_DedupRecord(ids.window, ids.accepted, ids.count, ids.head_bytes, closed))
    yield from pack(ids.buckets)


def _without_zeros(head: ImageHead) -> tuple[Any, ...]:
    fields = msgspec.structs.astuple(head)
    written = len(fields)
    while written > FIELDS_OF_LEVEL_0 and not fields[written - 1]:
        written -= 1
    return fields[:written]


def decode(data: bytes) -> Image:
    """The image that was encoded into `data`. Raises `DataError`, in words, if `data` is anything else."""
    view = memoryview(data)
    if view[: len(MAGIC)] not in (MAGIC, MAGIC_OF_LEVELS):
        raise DataError(_what_is(bytes(view[: len(MAGIC)])))
    checksum = hashlib.blake2b(view[:-CHECKSUM_BYTES], digest_size=CHECKSUM_BYTES).digest()
    if view[-CHECKSUM_BYTES:] != checksum:
        raise _damaged()
    return _decoded(_Blocks(view[len(MAGIC) : -CHECKSUM_BYTES]))


def decode_from(file: IO[bytes], size: int) -> Image:
    """The same of the next `size` bytes of a file, which are never held as a whole."""
    magic = file.read(len(MAGIC))
    if magic not in (MAGIC, MAGIC_OF_LEVELS):
        raise DataError(_what_is(magic))
    return _decoded(_BlocksOfFile(file, magic, size))


def _decoded(blocks: _Blocks) -> Image:
    try:
        return _read(blocks)
    except (msgspec.DecodeError, ValueError, KeyError, OverflowError, RecursionError) as error:
        raise DataError(f"the snapshot's checksum is right, but its content makes no sense ({error})") from error


def _damaged() -> DataError:
    return DataError("the snapshot is damaged: its checksum differs. Take it from another node, or a backup")


def _what_is(start: bytes) -> str:
    if start[:-1] == MAGIC[:-1]:
        newest = MAGIC_OF_LEVELS[-1]
        return f"the snapshot has format {start[-1]}, this program reads up to {newest}: use the program that wrote it"
    return "this is no snapshot of Quorate's state"


class _Blocks:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def flat(self) -> bytes:
        start = self._at + 8
        self._at = start + int.from_bytes(self._data[self._at : start], "little")
        if start > len(self._data) or self._at > len(self._data):
            raise ValueError("it ends too early")
        return bytes(self._data[start : self._at])

    def one(self, type: type[_T]) -> _T:  # noqa: A002
        return msgspec.msgpack.decode(self.flat(), type=type)

    def rows(self, type: Any, count: int) -> Iterator[Any]:  # noqa: A002
        while count > 0:
            rows = msgspec.msgpack.decode(self.flat(), type=type)
            if len(rows) != min(count, ROWS_A_BLOCK):
                raise ValueError("a block has another number of rows than it should")
            count -= len(rows)
            yield from rows

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError("something follows its end")


class _BlocksOfFile(_Blocks):
    """Computes the checksum as it reads, and compares it at the end."""

    def __init__(self, file: IO[bytes], magic: bytes, size: int) -> None:
        super().__init__(memoryview(b""))
        self._file, self._left = file, size - len(magic) - CHECKSUM_BYTES
        self._checksum = hashlib.blake2b(magic, digest_size=CHECKSUM_BYTES)

    def flat(self) -> bytes:
        return self._take(int.from_bytes(self._take(8), "little"))

    def end(self) -> None:
        if self._left:
            raise ValueError("something follows its end")
        if self._file.read(CHECKSUM_BYTES) != self._checksum.digest():
            raise _damaged()

    def _take(self, size: int) -> bytes:
        if size > self._left:
            raise ValueError("it ends too early")
        data = self._file.read(size)
        if len(data) != size:
            raise ValueError("it ends too early")
        self._left -= size
        self._checksum.update(data)
        return data


def _read(blocks: _Blocks) -> Image:
    head = blocks.one(ImageHead)
    if head.level > FEATURE_LEVEL:
        raise DataError(
            f"the snapshot is of feature level {head.level}, this program has {FEATURE_LEVEL}: use the version that "
            "wrote it, or a newer one"
        )
    image = Image(
        head,
        list(blocks.rows(list[str], head.options)),
        blocks.flat(),
        [blocks.one(PollRecord) for _ in range(head.polls)],
        dict(blocks.rows(list[tuple[str, Session]], head.producers)),
        _read_dedup(blocks),
        list(blocks.rows(list[Tombstone], head.tombstones)),
        list(blocks.rows(list[ForgottenProducer], head.forgotten_producers)),
        [(blocks.one(int), _read_dedup(blocks)) for _ in range(head.shares)],
    )
    blocks.end()
    if len(image.totals) != 8 * head.options:
        raise ValueError("its parts do not add up")
    return image


def _read_dedup(blocks: _Blocks) -> FrozenDedup:
    record = blocks.one(_DedupRecord)
    closed = [ClosedGeneration(count, expires, array("I", ends)) for count, expires, ends in record.closed]
    buckets = unpack(blocks.flat(), blocks.flat())
    return FrozenDedup(record.window, record.accepted, record.count, record.head_bytes, closed, buckets)


def _row_blocks(rows: Any) -> Iterator[list[Any]]:
    rows = iter(rows)
    while row_block := list(islice(rows, ROWS_A_BLOCK)):
        yield row_block


def record_of(poll: Poll) -> PollRecord:
    return PollRecord(
        poll.id,
        poll.title,
        poll.state,
        poll.closes_at_ms,
        poll.write_ins,
        poll.created_ms,
        poll.version,
        poll.definition,
        poll.names.copy() if poll.write_ins else [],
        poll.base.tobytes(),
        poll.shared.tobytes(),
        None if poll.initial_results is None else poll.initial_results.tobytes(),
        poll.creation,
        poll.again,
        poll.since_ms,
    )


def poll_of(record: PollRecord, options: Sequence[str]) -> Poll:
    """The poll of a record. `options` is the common column of names. Raises ValueError or IndexError on a record that
    makes no sense."""
    shared = array("I", record.shared)
    names = list(record.names) if record.write_ins else [options[place] for place in shared]
    base = array("q", record.base)
    if not record.write_ins and "" in names:
        raise ValueError(f"poll {record.id!r} lists an option that is not there")
    if len(base) != len(names):
        raise ValueError(f"poll {record.id!r} has {count(len(names), 'option')} and {count(len(base), 'result')}")
    return Poll(
        record.id,
        record.title,
        record.state,
        record.closes_at_ms,
        record.write_ins,
        record.created_ms,
        record.version,
        record.definition,
        names,
        base,
        shared,
        None if record.initial_results is None else array("q", record.initial_results),
        record.creation,
        record.again,
        record.since_ms,
    )
