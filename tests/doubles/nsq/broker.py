"""Topics, channels and messages: what nsqd holds, without a socket.

A message that is published to a topic is copied to each of its channels, with the same id and timestamp. If the topic
has no channel, the message waits for the first one. A channel delivers each message to one subscriber that is ready. It
delivers the message again after REQ, or if the message is not finished in time. What a subscriber has when it
disconnects is delivered again after its timeout, not before.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from tests.doubles.nsq.journal import Journal
from tests.doubles.nsq.terms import Terms
from tests.doubles.nsq.wire import Message, Options, is_ephemeral

_order = count()  # so that heaps need not compare messages


class Subscriber(Protocol):
    terms: Terms

    def is_ready(self) -> bool: ...
    def deliver(self, message: Message) -> None: ...
    def timed_out(self) -> None: ...
    def emptied(self) -> None: ...
    def settle(self) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class InFlight:
    message: Message
    owner: Subscriber
    delivered_s: float
    deadline_s: float


@dataclass(slots=True)
class Channel:
    topic: str
    name: str
    journal: Journal
    max_msg_timeout_ms: int
    queue: deque[Message] = field(default_factory=deque)
    in_flight: dict[bytes, InFlight] = field(default_factory=dict)
    deadlines: list[tuple[float, int, bytes]] = field(default_factory=list)
    deferred: list[tuple[float, int, Message]] = field(default_factory=list)
    subscribers: deque[Subscriber] = field(default_factory=deque)
    paused: bool = False
    messages: int = 0
    requeued: int = 0
    timeouts: int = 0

    def put(self, message: Message, delay_ms: int = 0) -> None:
        self.messages += 1
        self._enqueue(message, delay_ms)

    def _enqueue(self, message: Message, delay_ms: int) -> None:
        if delay_ms > 0:
            self.journal.taken(self.topic, self.name, message.id)
            heapq.heappush(self.deferred, (time.monotonic() + delay_ms / 1000, next(_order), message))
        else:
            self.queue.append(message)

    def pump(self) -> None:
        """Deliver waiting messages to the subscribers that are ready, one message to each in turn."""
        served: set[Subscriber] = set()
        idle = 0
        while self.queue and not self.paused and idle < len(self.subscribers):
            subscriber = self.subscribers[0]
            self.subscribers.rotate(-1)
            if not subscriber.is_ready():
                idle += 1
                continue
            idle = 0
            message = self.queue.popleft()
            if subscriber.terms.sample_rate and random.randrange(100) > subscriber.terms.sample_rate:
                self.journal.finished(self.topic, self.name, [message.id])
                continue
            self._hand_out(message, subscriber)
            served.add(subscriber)
        for subscriber in served:
            subscriber.settle()

    def _hand_out(self, message: Message, subscriber: Subscriber) -> None:
        self.journal.taken(self.topic, self.name, message.id)
        message.attempts = min(message.attempts + 1, 65_535)
        now_s = time.monotonic()
        deadline_s = now_s + subscriber.terms.msg_timeout_ms / 1000
        self.in_flight[message.id] = InFlight(message, subscriber, now_s, deadline_s)
        heapq.heappush(self.deadlines, (deadline_s, next(_order), message.id))
        subscriber.deliver(message)

    def _owned(self, id: bytes, owner: Subscriber) -> InFlight:
        flight = self.in_flight.get(id)
        if flight is None:
            raise LookupError("ID not in flight")
        if flight.owner is not owner:
            raise LookupError("client does not own message")
        return flight

    def finish(self, id: bytes, owner: Subscriber) -> None:
        """Raises `LookupError` with nsqd's text if this subscriber does not hold the message, or not any more."""
        self._owned(id, owner)
        del self.in_flight[id]
        self.journal.finished(self.topic, self.name, [id])

    def requeue(self, id: bytes, owner: Subscriber, delay_ms: int) -> None:
        flight = self._owned(id, owner)
        del self.in_flight[id]
        self.requeued += 1
        self.journal.returned(self.topic, self.name, id)
        self._enqueue(flight.message, delay_ms)

    def touch(self, id: bytes, owner: Subscriber) -> None:
        """Start the timeout again. Since its delivery a message may be held for `max_msg_timeout_ms` at most."""
        flight = self._owned(id, owner)
        longest_s = flight.delivered_s + self.max_msg_timeout_ms / 1000
        flight.deadline_s = min(time.monotonic() + owner.terms.msg_timeout_ms / 1000, longest_s)
        heapq.heappush(self.deadlines, (flight.deadline_s, next(_order), id))

    def expire(self, now_s: float) -> None:
        """Take back messages that were not finished in time, and queue deferred messages whose time has come."""
        while self.deadlines and self.deadlines[0][0] <= now_s:
            _, _, id = heapq.heappop(self.deadlines)
            flight = self.in_flight.get(id)
            if flight is None or flight.deadline_s > now_s:
                continue  # it was finished, or touched
            del self.in_flight[id]
            self.timeouts += 1
            flight.owner.timed_out()
            self._return(flight.message)
        while self.deferred and self.deferred[0][0] <= now_s:
            self._return(heapq.heappop(self.deferred)[2])

    def _return(self, message: Message) -> None:
        self.journal.returned(self.topic, self.name, message.id)
        self.queue.append(message)

    def unfinished(self) -> Iterable[Message]:
        yield from (flight.message for flight in self.in_flight.values())
        yield from self.queue
        yield from (message for _, _, message in self.deferred)

    def empty(self) -> None:
        self.journal.finished(self.topic, self.name, [m.id for m in self.unfinished()])
        self.journal.flush()  # nsqd removes its queue's files before it answers
        self.queue.clear()
        self.in_flight.clear()
        self.deferred.clear()
        for subscriber in self.subscribers:
            subscriber.emptied()


@dataclass(slots=True)
class Topic:
    name: str
    # Messages and their delays in ms, while the topic has no channel or is paused.
    backlog: deque[tuple[Message, int]] = field(default_factory=deque)
    channels: dict[str, Channel] = field(default_factory=dict)
    paused: bool = False
    messages: int = 0
    bytes: int = 0
    last_id: int = 0


class Broker:
    """All topics of one nsqd. `on_change` is called when a topic or channel is made ("+") or deleted ("-")."""

    def __init__(self, options: Options, journal: Journal) -> None:
        self.options = options
        self.journal = journal
        self.topics: dict[str, Topic] = {}
        self.on_change: Callable[[str, str, str], None] = lambda sign, topic, channel: None

    def topic(self, name: str) -> Topic:
        """The topic of that name. It is made if there is none, as nsqd does."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name, last_id=self.options.first_id)
            if not is_ephemeral(name):
                self.journal.created(name, "")
            self.on_change("+", name, "")
        return topic

    def channel(self, topic: Topic, name: str) -> Channel:
        channel = topic.channels.get(name)
        if channel is None:
            kept = not is_ephemeral(topic.name) and not is_ephemeral(name)
            journal = self.journal if kept else Journal("")
            channel = topic.channels[name] = Channel(topic.name, name, journal, self.options.max_msg_timeout_ms)
            if kept:
                self.journal.created(topic.name, name)
            self.on_change("+", topic.name, name)
            self.spread(topic)
        return channel

    def delete_channel(self, topic: Topic, name: str) -> None:
        channel = topic.channels.pop(name)
        for subscriber in list(channel.subscribers):
            subscriber.close()
        self.journal.deleted(topic.name, name)
        self.on_change("-", topic.name, name)
        if not topic.channels and is_ephemeral(topic.name):
            self.delete_topic(topic)

    def delete_topic(self, topic: Topic) -> None:
        for name in list(topic.channels):
            self.delete_channel(topic, name)
        if self.topics.pop(topic.name, None):
            self.journal.deleted(topic.name, "")
            self.on_change("-", topic.name, "")

    def empty_topic(self, topic: Topic) -> None:
        """Messages that its channels have already stay there."""
        for channel in list(topic.channels) or [""]:  # a paused topic's messages are in the journal under its channels
            self.journal.finished(topic.name, channel, [message.id for message, _ in topic.backlog])
        self.journal.flush()
        topic.backlog.clear()

    def publish(self, topic: Topic, bodies: list[bytes], delay_ms: int = 0) -> None:
        messages = [Message(self._next_id(topic), time.time_ns(), body) for body in bodies]
        if not is_ephemeral(topic.name):
            self.journal.published(topic.name, messages)
        topic.messages += len(messages)
        topic.bytes += sum(map(len, bodies))
        topic.backlog.extend((message, delay_ms) for message in messages)
        self.spread(topic)

    def _next_id(self, topic: Topic) -> bytes:
        """16 hex digits as in nsqd: the time in ticks of 1.05 ms, the node id, and a sequence number within a tick."""
        tick_id = ((time.time_ns() >> 20) - 1_288_834_974_288 << 22) | (self.options.node_id << 12)
        if self.options.first_id:
            tick_id = 0
        topic.last_id = max(topic.last_id + 1, tick_id)
        return b"%016x" % topic.last_id

    def spread(self, topic: Topic) -> None:
        """Copy the messages that wait in the topic to each of its channels."""
        if topic.paused or not topic.channels:
            return
        channels = list(topic.channels.values())
        while topic.backlog:
            message, delay_ms = topic.backlog.popleft()
            for channel in channels:
                channel.put(Message(message.id, message.timestamp_ns, message.body), delay_ms)
        for channel in channels:
            channel.pump()

    def expire(self) -> None:
        now_s = time.monotonic()
        for topic in self.topics.values():
            for channel in topic.channels.values():
                channel.expire(now_s)
                channel.pump()

    def subscribe(self, topic_name: str, channel_name: str, subscriber: Subscriber) -> Channel:
        channel = self.channel(self.topic(topic_name), channel_name)
        channel.subscribers.append(subscriber)
        return channel

    def unsubscribe(self, channel: Channel, subscriber: Subscriber) -> None:
        if subscriber in channel.subscribers:
            channel.subscribers.remove(subscriber)
        topic = self.topics.get(channel.topic)
        if topic and not channel.subscribers and is_ephemeral(channel.name) and channel.name in topic.channels:
            self.delete_channel(topic, channel.name)
