"""A place in EventStreams, and what to ask for to go on there.

An event's id is a list of places in Kafka, one for each topic (two data centres have a topic each) and partition, that
says `offset` or, as the public server does, `timestamp`: the last event's, and one more. Its own code is KafkaSSE
(`_updateLatestOffsetsMap`, `assignmentsForTimes`): it starts at the first event of that time or a later one.

A timestamp is no exact place. A second event of the same millisecond is before it, and so is an event that happened
earlier and arrived later. But Kafka keeps the order of arrival: whoever asks for the latest time of any event that came
gets that event again, or one that came before it, and then all that came after it. So that is what is asked for, and
what comes is taken for repeated until the last event comes again. If an event comes that is later than all others were,
and the last one did not come, the server's history begins behind the place.

A topic that has had no event yet has the offset -1, its end. Whoever asks for that misses what happens until then, so
it is asked for the time of the event that the id came with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from quorate.unreadable import UNREADABLE

BACK_MS = 1
TOPICS_MAX = 100  # a stream has two or some more; ids with thousands would fit into no request

Topic = tuple[str, int]


class TopicPlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """Either `timestamp` or `offset` is asked for.

    `timestamp` is behind the latest event that came. `last` is the key of the last one: empty if none came yet.
    """

    topic: str
    partition: int
    timestamp: int | None = None
    offset: int = -1
    last: str = ""

    @property
    def is_named(self) -> bool:
        return self.timestamp is not None or self.offset >= 0

    def asked(self, back_ms: int) -> dict[str, Any]:
        named = {"topic": self.topic, "partition": self.partition}
        if self.timestamp is None:
            return {**named, "offset": self.offset}
        return {**named, "timestamp": max(0, self.timestamp - (back_ms if self.last else 0))}


class StreamPlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """Without `topics` it is asked for `id`, a server's own kind of id; without both for what happened since `ms`.

    `ms`: the time of the last event.
    """

    ms: int = 0
    topics: tuple[TopicPlace, ...] = ()
    id: str = ""

    @classmethod
    def read(cls, position: str) -> StreamPlace:
        return msgspec.json.decode(position, type=cls)

    def written(self) -> str:
        return msgspec.json.encode(self).decode()

    def last_event_id(self, back_ms: int = BACK_MS) -> str:
        if not self.topics:
            return self.id
        return json.dumps([each.asked(back_ms) for each in self.topics], separators=(",", ":"))


class PlaceKeeper:
    """Follows the ids of the events that come over one connection, which was asked for from `place` on."""

    def __init__(self, place: StreamPlace) -> None:
        self._id, self._ms = place.id, place.ms
        self._topics: dict[Topic, TopicPlace] = {(each.topic, each.partition): each for each in place.topics}
        self._repeating = {topic for topic, each in self._topics.items() if each.last and each.timestamp is not None}
        self._not_checked = {topic for topic, each in self._topics.items() if each.timestamp is None}
        self._before: dict[Topic, dict[str, Any]] = {}
        self._last_own: Topic = ("", 0)
        self.is_further = False

    @property
    def place(self) -> StreamPlace:
        return StreamPlace(self._ms, tuple(self._topics.values()), self._id)

    def follow(self, event_id: str, key: str, ms: int, told: Topic | None = None) -> str:
        """An event came. `key` tells it from others, `told` is the topic that it names itself.

        Returns what is missing before it, for people, or "".
        """
        entries = _entries(event_id)
        if entries is None:
            self.is_further |= event_id != self._id or ms > self._ms
            self._id, self._ms = event_id, ms or self._ms
            return ""
        now = {(each["topic"], each["partition"]): each for each in entries}
        own = self._own(now, told)
        self._before, self._last_own = now, own
        missing = self._move(own, now[own], key)
        if own not in self._repeating:
            self._ms = ms or self._ms
        self._name_others(now, is_by_time="offset" not in now[own])
        return missing

    def _own(self, now: dict[Topic, dict[str, Any]], told: Topic | None) -> Topic:
        """The topic that the event is of: the one that it names, or whose place has changed.

        In ids by time, a topic with an offset is one that no event came of.
        """
        if told is not None and told in now:
            return told
        places = {topic: each for topic, each in now.items() if "offset" not in each} or now
        changed = [topic for topic, each in places.items() if each != self._before.get(topic)]
        if not changed and self._last_own in places:
            return self._last_own
        return next(iter(changed or places))

    def _move(self, topic: Topic, entry: dict[str, Any], key: str) -> str:
        before = self._topics.get(topic, TopicPlace(*topic))
        if "offset" in entry:
            return self._move_to_offset(topic, before, entry["offset"])
        at, latest = entry["timestamp"], before.timestamp or 0
        missing = ""
        if topic in self._repeating:
            if key == before.last:
                self._repeating.discard(topic)
                return ""
            if at <= latest:
                return ""
            self._repeating.discard(topic)
            missing = f"what happened in the {(at - latest) / 1000:,.3f} s before its first event"
        self.is_further = True
        self._keep(topic, TopicPlace(*topic, timestamp=max(at, latest), last=key))
        return missing

    def _move_to_offset(self, topic: Topic, before: TopicPlace, offset: int) -> str:
        if offset <= before.offset:
            return ""  # repeated, without being asked to
        skipped = offset - before.offset - 1
        was_asked = topic in self._not_checked and before.offset >= 0
        self._not_checked.discard(topic)
        self.is_further = True
        self._keep(topic, TopicPlace(*topic, offset=offset))
        return f"{skipped:,} events" if was_asked and skipped else ""

    def _name_others(self, now: dict[Topic, dict[str, Any]], *, is_by_time: bool) -> None:
        """A place for each topic of which no event came: where it was asked for, or the time of this event."""
        for topic, entry in now.items():
            known = self._topics.get(topic)
            if known is not None and known.is_named:
                continue
            if "offset" in entry and entry["offset"] >= 0 and not is_by_time:
                self._keep(topic, TopicPlace(*topic, offset=entry["offset"]))
            elif self._ms:
                self._keep(topic, TopicPlace(*topic, timestamp=entry.get("timestamp", self._ms)))
            else:
                self._keep(topic, TopicPlace(*topic))

    def _keep(self, topic: Topic, place: TopicPlace) -> None:
        if topic not in self._topics and len(self._topics) >= TOPICS_MAX:
            del self._topics[next(iter(self._topics))]
        self._topics[topic] = place


def _entries(event_id: str) -> Sequence[dict[str, Any]] | None:
    """None: it is another kind of id, which only its server understands."""
    try:
        entries = msgspec.json.decode(event_id)
    except UNREADABLE:
        return None
    return entries if isinstance(entries, list) and entries and all(map(_is_entry, entries)) else None


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("topic"), str)
        and type(entry.get("partition")) is int
        and type(entry.get("offset", entry.get("timestamp"))) is int
    )
