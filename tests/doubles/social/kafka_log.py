"""What stands behind EventStreams: topics of Kafka, and KafkaSSE's rules of where a reader starts in them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

PARTITION = 0


@dataclass(frozen=True, slots=True)
class Record:
    topic: str
    offset: int
    timestamp: int
    value: bytes


@dataclass(slots=True)
class KafkaLog:
    """Records in the order in which they arrived, over all topics."""

    topics: tuple[str, ...]
    records: list[Record] = field(default_factory=list)
    forgotten: int = 0
    grown: threading.Condition = field(default_factory=threading.Condition)
    _first: dict[str, int] = field(default_factory=dict)  # the offset of the oldest record that is kept
    _next: dict[str, int] = field(default_factory=dict)

    def append(self, topic: str, timestamp: int, value: bytes) -> Record:
        with self.grown:
            record = Record(topic, self._next.get(topic, 0), timestamp, value)
            self._next[topic] = record.offset + 1
            self.records.append(record)
            self.grown.notify_all()
            return record

    def forget(self, records: int) -> None:
        """The oldest are deleted, as after the time for which they are kept."""
        with self.grown:
            for record in self.records[:records]:
                self._first[record.topic] = record.offset + 1
            del self.records[:records]
            self.forgotten += records

    def behind(self, seen: int, wait_s: float) -> list[Record]:
        """Those after the first `seen` of all that ever were; none if none comes within the time."""
        with self.grown:
            if not self.records[max(0, seen - self.forgotten) :]:
                self.grown.wait(wait_s)
            return self.records[max(0, seen - self.forgotten) :]

    def wake(self) -> None:
        with self.grown:
            self.grown.notify_all()

    def assignments(self, asked: list[Any], since: int | None) -> dict[str, int]:
        """For each topic the offset where it starts; -1 is its end. `asked`: topics, or entries of a Last-Event-ID."""
        with self.grown:
            return dict(self._assigned(each, since) for each in asked)

    def end_of(self, topic: str) -> int:
        return self._next.get(topic, 0)

    def _assigned(self, entry: str | dict[str, Any], since: int | None) -> tuple[str, int]:
        if isinstance(entry, str):
            return entry, -1 if since is None else self._at_time(entry, since)
        topic = entry["topic"]
        return topic, self._in_range(topic, entry["offset"]) if "offset" in entry else self._at_time(
            topic, entry["timestamp"]
        )

    def _at_time(self, topic: str, timestamp: int) -> int:
        """The first of this time or a later one, in the order of arrival. -1 if there is none."""
        found = (each.offset for each in self.records if each.topic == topic and each.timestamp >= timestamp)
        return next(found, -1)

    def _in_range(self, topic: str, offset: int) -> int:
        """An offset that is not kept any more, or not there yet: its end (auto.offset.reset: latest)."""
        return offset if self._first.get(topic, 0) <= offset <= self._next.get(topic, 0) else -1
