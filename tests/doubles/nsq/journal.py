"""What survives when the double is killed: an append-only file of msgpack records, replayed at start.

Topics and channels are always kept, as in nsqd. If the double was told to be durable, messages are written before they
are acknowledged; otherwise only a graceful stop writes them. A message keeps its id and its timestamp, and its attempts
are counted from one again, as in nsqd. A record that a crash tore was never acknowledged. It is cut off.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.doubles.nsq.wire import Message

if TYPE_CHECKING:
    from tests.doubles.nsq.broker import Broker


class Record(msgspec.Struct, array_like=True):
    """`kind`: created, deleted, published, taken, returned, finished. An empty `channel` means the topic itself."""

    kind: str
    topic: str
    channel: str
    messages: list[tuple[bytes, int, bytes]] = []  # id, timestamp in ns, body
    ids: list[bytes] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


class Journal:
    """With an empty path nothing is written. `keeps_messages`: each is written as it comes, not only at the end.

    `loses_in_flight`: messages that were delivered and not answered are lost in a crash, as in nsqd.
    """

    def __init__(self, data_path: str, *, keeps_messages: bool = False, loses_in_flight: bool = True) -> None:
        self.path = Path(data_path, "double.journal") if data_path else None
        self.keeps_messages = keeps_messages
        self.loses_in_flight = loses_in_flight
        self._file = -1
        self._moves: list[Record] = []  # consecutive moves of a kind share a record

    def open(self) -> None:
        if self.path:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def created(self, topic: str, channel: str) -> None:
        self._write(Record("created", topic, channel))

    def deleted(self, topic: str, channel: str) -> None:
        self._write(Record("deleted", topic, channel))

    def published(self, topic: str, messages: list[Message], channel: str = "") -> None:
        if self.keeps_messages:
            self._write(Record("published", topic, channel, [(m.id, m.timestamp_ns, m.body) for m in messages]))

    def taken(self, topic: str, channel: str, id: bytes) -> None:
        if self.loses_in_flight:
            self._move("taken", topic, channel, [id])

    def returned(self, topic: str, channel: str, id: bytes) -> None:
        if self.loses_in_flight:
            self._move("returned", topic, channel, [id])

    def finished(self, topic: str, channel: str, ids: list[bytes]) -> None:
        self._move("finished", topic, channel, ids)

    def _move(self, kind: str, topic: str, channel: str, ids: list[bytes]) -> None:
        if not self.keeps_messages:
            return
        last = self._moves[-1] if self._moves else None
        if last and (kind, topic, channel) == (last.kind, last.topic, last.channel):
            last.ids += ids
        else:
            self._moves.append(Record(kind, topic, channel, ids=list(ids)))

    def flush(self) -> None:
        """Write the moves of this turn. A move that is lost means one more delivery, so many are written at once."""
        moves, self._moves = self._moves, []
        for record in moves:
            self._write(record)

    def _write(self, record: Record) -> None:
        self.flush()
        # When the process is killed, the kernel keeps what was written. Only a loss of power would need fsync.
        if self._file >= 0:
            data = _encode(record)
            os.write(self._file, struct.pack(">I", len(data)) + data)

    def records(self) -> Iterator[Record]:
        data = self.path.read_bytes() if self.path and self.path.exists() else b""
        at = 0
        while at + 4 <= len(data):
            (size,) = struct.unpack_from(">I", data, at)
            if at + 4 + size > len(data):
                break
            yield _decode(data[at + 4 : at + 4 + size])
            at += 4 + size
        if self.path and at < len(data):
            os.truncate(self.path, at)

    def save(self, broker: Broker) -> None:
        """For a graceful stop: write all unfinished messages, whatever the flags say."""
        if not self.path:
            return
        self._moves.clear()
        self.close()
        self.path.unlink(missing_ok=True)
        self.keeps_messages = True
        self.open()
        for topic in broker.topics.values():
            self.created(topic.name, "")
            for channel in topic.channels.values():
                self.created(topic.name, channel.name)
            for channel in topic.channels.values():
                self.published(topic.name, list(channel.unfinished()), channel.name)
            self.published(topic.name, [message for message, _ in topic.backlog])
        self.close()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def replay(records: Iterable[Record], broker: Broker) -> None:
    """Bring an empty broker to the state at the end of the journal. The journal must not be open yet."""
    waiting: dict[tuple[str, str], dict[bytes, Message]] = {}
    taken: dict[tuple[str, str], dict[bytes, Message]] = {}
    for record in records:
        place = (record.topic, record.channel)
        if record.kind == "created":
            topic = broker.topic(record.topic)
            if record.channel:
                broker.channel(topic, record.channel)
                backlog = waiting.pop((record.topic, ""), {}) if len(topic.channels) == 1 else {}
                waiting.setdefault(place, {}).update(backlog)
        elif record.kind == "deleted":
            waiting.pop(place, None)
            taken.pop(place, None)
            if record.channel:
                broker.delete_channel(broker.topics[record.topic], record.channel)
            else:
                broker.delete_topic(broker.topics[record.topic])
        elif record.kind == "published":
            for name in [record.channel] if record.channel else list(broker.topics[record.topic].channels) or [""]:
                waiting.setdefault((record.topic, name), {}).update((m[0], Message(*m)) for m in record.messages)
        elif record.kind == "finished":
            for id in record.ids:
                waiting.get(place, {}).pop(id, None)
                taken.get(place, {}).pop(id, None)
        else:
            here, there = (waiting, taken) if record.kind == "taken" else (taken, waiting)
            for id in record.ids:
                message = here.get(place, {}).pop(id, None)
                if message is not None:
                    there.setdefault(place, {})[id] = message
    for (name, channel), held in waiting.items():
        topic = broker.topics[name]
        topic.last_id = max([topic.last_id, *(int(id, 16) for id in held)])
        if channel:
            topic.channels[channel].queue = deque(held.values())
        else:
            topic.backlog = deque((message, 0) for message in held.values())
