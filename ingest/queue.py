"""What a queue must promise so that the consumer can count its messages exactly once.

- It delivers a message again and again until a node finishes it. nsqd cannot promise that for messages on a connection
  that broke: it may forget them. Such a delivery has `is_orphan`, and the consumer tries for a minute to count it.
- All deliveries of one message have the same `identity`, on every node and after every restart. A vote without an id
  gets an id that is made of the identity. So it counts once, however often its message comes.
- It keeps a delivery for this node until the node finishes it or gives it back.
- It limits the deliveries that this node has not answered, in messages and in bytes.
- A dead letter is stored when `publish_dead_letters` returns.

A queue need not promise an order. A message may come twice, even while its first delivery is still here. The queue need
not know how often it delivered a message. It need not be able to take back one message without those after it.

Kafka can be such a queue. The identity is topic, partition and offset. `finish` notes the offset. The queue commits the
offset before which all messages are finished, so after a crash some finished messages come again, as duplicates.
`give_back` seeks to the lowest offset that is given back, and all messages after it come again. To keep its deliveries,
the client goes on polling while its partitions are paused. Dead letters are sent to a topic with acks=all.

A list in Redis can be such a queue. Its elements have no identity, so a script numbers an element when it moves the
element to the list of those that this node processes. `finish` removes the element. `give_back` moves it, with its
number, to a list of returned elements, from which every node takes first. Nothing needs to be done to keep a delivery.
When a node starts, it delivers the elements that its own list still has. Dead letters go to a list of their own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar


class Delivery(Protocol):
    """One message, as it was delivered once."""

    @property
    def body(self) -> bytes: ...

    @property
    def identity(self) -> str:
        """At most 120 bytes, the same in every delivery of this message and in that of no other message."""
        ...

    @property
    def attempts(self) -> int:
        """How many deliveries of this message there were, this one included. 1 if the queue does not know."""
        ...

    @property
    def came_s(self) -> float:
        """When it arrived here, on the monotonic clock."""
        ...

    @property
    def sent_ms(self) -> int:
        """When it was put into the queue (Unix, ms). 0 if the queue does not know."""
        ...

    @property
    def is_orphan(self) -> bool:
        """Whether it cannot be given back any more and this node perhaps has the only copy."""
        ...

    @property
    def connection(self) -> Hashable:
        """What it arrived on. The dead letters of one connection are published together."""
        ...

    @property
    def origin(self) -> Mapping[str, Any]:
        """Where it came from, for the first line of a dead letter."""
        ...


D = TypeVar("D", bound=Delivery)


class Queue(Protocol[D]):
    """What a consumer needs of its queue. The queue hands messages to the consumer's `take`.

    It ignores an answer for a message that this node no longer has.
    """

    def finish(self, deliveries: Iterable[D]) -> None: ...

    def give_back(self, deliveries: Iterable[D]) -> int:
        """Let any node have them, at once. Returns how many this node still had."""
        ...

    def put_off(self, pauses: Mapping[D, float]) -> set[D]:
        """Let any node have these, but each not before its pause (in seconds) is over. Returns those that were here.

        A queue that cannot do this for one message alone does nothing and returns none.
        """
        ...

    @property
    def keeps_max(self) -> int:
        """How many messages of one connection may be kept here unanswered while the others flow."""
        ...

    async def publish_dead_letters(self, deliveries: Sequence[D], letters: Sequence[bytes]) -> None:
        """Store the letters about these deliveries of one connection, unless the settings say to store none.

        Raises `ConnectionError` or `TimeoutError` if it is not known that all are stored.
        """
        ...

    def throttle(self, on: bool) -> None:
        """On: ask for one message at a time. Off: for as many as usual, at once."""
        ...
