"""The records of a history, and its file: lines of JSON that `quorate chaos` writes and `quorate check` reads.

Times are seconds since the run began, of one monotonic clock. A `version` is the state machine's, from the answer.
Anybody may write a history: the order of fields and the spaces between them are free, and what is read is bounded.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import msgspec

from quorate.errors import Invalid
from quorate.unreadable import UNREADABLE

FORMAT = 1
Door = Literal["http", "nsq", "resp"]
QUEUE: Door = "nsq"  # the door of votes that are published
REDIS: Door = "resp"
LINE_BYTES_MAX = 64 * 1024 * 1024
TAIL_BYTES = 64 * 1024  # in which the end stands, if there is one
GZIP = b"\x1f\x8b"  # what a packed file begins with

COUNT_MAX = 2**53  # up to here all programs read the same number
MOMENT_MAX_S = 1e12

Count = Annotated[int, msgspec.Meta(ge=-COUNT_MAX, le=COUNT_MAX)]
Weight = Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
Moment = Annotated[float, msgspec.Meta(ge=-MOMENT_MAX_S, le=MOMENT_MAX_S)]
Kind = Literal["ok", "fail", "unknown"]  # of an outcome
Phase = Literal["begin", "end"]


class Header(msgspec.Struct, tag="history", tag_field="record", omit_defaults=True):
    """The first line: what the run was."""

    format: Count
    program: str  # the version of Quorate that wrote it
    seed: int
    began_ms: Count  # Unix time of the moment 0
    nodes: dict[str, str]  # id -> URL
    dedup_window: Count
    faults: list[str] = []  # names of nemeses that were asked for
    asked_to_reach: list[str] = []
    duration_s: Moment = 0.0
    is_ours: bool = True  # False: a cluster that runs elsewhere (`--against`)
    settings: dict[str, Any] = {}
    command: str = ""  # that made the run, as it was typed
    dedup_table: Count = 0  # what the table is for, if not for `dedup_window`: the votes have a share of their own


class PollPlan(msgspec.Struct, tag="poll", tag_field="record", omit_defaults=True):
    """A poll that the run made: its options, each with the weight of all its votes."""

    id: str
    options: dict[str, Weight]
    at: Moment
    write_ins: bool = False


class HistoryOperation(msgspec.Struct, tag_field="record", omit_defaults=True, kw_only=True):
    """What all operations have. `number` counts them in the order of their invocation."""

    number: Count
    client: str
    node: str  # the node that was asked
    begun: Moment
    ended: Moment | None = None
    outcome: Kind = "unknown"
    version: Count | None = None
    served_by: str | None = None  # the node that says it answered
    error: str = ""  # the kind of a problem, or what the connection did


class SentVote(msgspec.Struct, array_like=True, omit_defaults=True):
    option: str
    id: str | None = None
    poll: str | None = None
    weight: Weight = 1


class Cast(HistoryOperation, tag="cast"):
    """One request to count votes. Its attempts are operations of their own with the same `request`."""

    request: str  # the same for the same bytes
    votes: list[SentVote]
    way: Literal["ids", "key", "session"] = "ids"
    producer: str = ""  # for "session"
    epoch: Count = 0
    sequence: Count = 0
    door: Door = "http"
    applied: Count = 0
    duplicates: Count = 0
    counted: Count = 0  # now or before, as answers to Redis clients say: instead of the two above
    rejected: list[tuple[Count, str]] = []  # index of the vote, reason
    settles: bool = False  # sent in the end, when all was mended
    follows_queue: bool = False  # a queue had it before, and was finished with it when this was sent


def is_published(operation: HistoryOperation) -> bool:
    """Through a queue, which never tells whether a vote counted: nothing is wrong if that is unknown."""
    return isinstance(operation, Cast) and operation.door == QUEUE


class Read(HistoryOperation, tag="read"):
    """One read of a poll's results."""

    poll: str
    level: Literal["none", "weak", "linearizable"]
    door: Door = "http"
    min_version: Count | None = None
    state: str = ""
    results: dict[str, Count] = {}
    total: Count = 0
    settles: bool = False


class PollChange(HistoryOperation, tag="poll-change"):
    """The creation of a poll, or a change of its state. `to` is the wanted state."""

    poll: str
    to: Literal["open", "closed", "archived", "draft"]
    creates: bool = False
    before: str = ""  # the state that it had, as the answer says; of a creation: "there" if the poll existed already
    closes_at_ms: Count | None = None


class OpenSession(HistoryOperation, tag="open-session"):
    producer: str
    epoch: Count = 0
    sequence: Count = 0


class NodeDigest(HistoryOperation, tag="digest"):
    """Of the asked node's own state."""

    digest: str = ""
    chain: str = ""


class NodeLook(msgspec.Struct, tag="node", tag_field="record", omit_defaults=True):
    """How a node is at a moment, as it says itself or as the run knows."""

    at: Moment
    node: str
    role: Literal["leader", "follower", "candidate", "learner", "down", "paused", "silent", "starting"]
    term: Count = 0
    version: Count = 0
    log_index: Count = 0
    queue_bytes: Count = 0
    dedup_ids: Count = 0  # of the common share
    memory_bytes: Count = 0
    cut_off: bool = False  # by a fault of the network that is active
    harmed: bool = False  # its disk has lost something, and it has not been brought up to date since
    sinks: dict[str, Count] = {}  # sink -> how many versions it is behind, as the leader says


class SinkLook(msgspec.Struct, tag="sink", tag_field="record", omit_defaults=True):
    """What a sink shows of a poll at a moment, as any program reads it."""

    at: Moment
    sink: str
    poll: str
    fence: str
    version: Count
    results: dict[str, Count]
    until: Moment = 0.0  # the look ended; it began at `at`


class Fault(msgspec.Struct, tag="fault", tag_field="record", omit_defaults=True):
    """A fault begins or ends. The same `number` at both."""

    at: Moment
    number: Count
    name: str
    phase: Phase
    victims: list[str] = []
    words: str = ""


class Reached(msgspec.Struct, tag="reached", tag_field="record", omit_defaults=True):
    """A situation of the reached list that the run noticed by itself. Others follow from the operations."""

    at: Moment
    name: str
    words: str = ""


class End(msgspec.Struct, tag="end", tag_field="record", omit_defaults=True):
    """The last line of a history that is whole."""

    at: Moment
    operations: Count
    settled: bool  # every outcome became known, and all nodes agreed
    words: str = ""  # why not


Record = (
    Header
    | PollPlan
    | Cast
    | Read
    | PollChange
    | OpenSession
    | NodeDigest
    | NodeLook
    | SinkLook
    | Fault
    | Reached
    | End
)

_encode = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(Record).decode


class HistoryFile:
    """Takes records from any thread. What `flush` has returned from is with the system.

    If the file cannot be written (its disk is full), `failed` is called once, what comes later is dropped, and `flush`
    and `close` raise. So no client fails for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: OSError | None = None
        self.failed: Callable[[], object] = lambda: None
        self._file: BinaryIO = path.open("wb", buffering=1024 * 1024)
        self._lock = threading.Lock()

    def write(self, record: Record) -> None:
        line = _encode(record) + b"\n"
        with self._lock:
            if self.failure is None:
                try:
                    self._file.write(line)
                except OSError as error:
                    self._fail(error)

    def flush(self) -> None:
        """Raises `OSError`."""
        with self._lock:
            if self.failure is None:
                try:
                    self._file.flush()
                except OSError as error:
                    self._fail(error)
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Idempotent. Raises `OSError`."""
        try:
            if not self._file.closed:
                self.flush()
        finally:
            with self._lock, contextlib.suppress(OSError):
                self._file.close()

    def _fail(self, error: OSError) -> None:
        self.failure = OSError(error.errno, error.strerror, str(self.path))
        self.failed()


def read_history(path: Path) -> Iterator[Record]:
    """The records of a file. Raises `Invalid` at the first line that is none, except a torn last line."""
    return (record for _, record in read_lines(path))


def read_lines(path: Path) -> Iterator[tuple[int, Record]]:
    """Each record with its line's place: the byte of the file at which the line begins. Raises as `read_history`."""
    place, record = 0, None
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX), b""), 1):
            if isinstance(record, End):
                raise Invalid(f"{path} is no history: line {number} follows its end. Are there two in one file?")
            try:
                record = decode_record(line)
            except UNREADABLE as error:
                if not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX and number > 1:
                    return
                raise Invalid(f"{path}, line {number} is no record of a history: {_why_not(line, error)}") from None
            if isinstance(record, Header) != (number == 1):
                raise Invalid(f"{path} is no history: its first line, and no other, is of the record `history`")
            if isinstance(record, Header) and record.format != FORMAT:
                raise Invalid(f"{path} has format {record.format}; this program reads {FORMAT}")
            yield place, record
            place += len(line)


def _why_not(line: bytes, error: Exception) -> str:
    if line.startswith(GZIP):
        return "the file is packed; unpack it with gunzip first"
    if len(line) == LINE_BYTES_MAX:
        return f"it is longer than {LINE_BYTES_MAX // 1024**2} MiB"
    return str(error)


def end_of(path: Path) -> End | None:
    """The last line if it is the end. Raises `OSError`."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        tail = file.read()
    last = tail[tail.rfind(b"\n", 0, -1) + 1 :]
    try:
        record = decode_record(last)
    except UNREADABLE:  # it is torn, or begins before the tail
        return None
    return record if isinstance(record, End) else None


def line_at(path: Path, place: int) -> bytes:
    """The line that begins there, without its end."""
    with path.open("rb") as file:
        file.seek(place)
        return file.readline(LINE_BYTES_MAX).rstrip(b"\n")
