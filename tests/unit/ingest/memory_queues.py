"""Two queues in this process, as different as Kafka and Redis, for the consumer that must serve both.

`LogQueue` is like a partition in Kafka: messages have offsets; a message that is given back comes again with all that
follow it; what was finished is remembered as one offset; and nobody counts attempts. `ListQueue` is like a list in
Redis: messages get a number when they are taken, each goes back by itself, and a list of what is taken outlives a node.

Neither hands out more than `LIMIT` messages that wait for an answer, or one while it is throttled.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LIMIT = 100

Take = Callable[[Sequence["MemoryDelivery"]], None]


@dataclass(eq=False, slots=True)
class MemoryDelivery:
    number: int
    body: bytes
    queue: str
    attempts: int = 1
    connection: str = "here"
    is_orphan: bool = False
    sent_ms: int = 0
    came_s: float = field(default_factory=time.monotonic)

    @property
    def identity(self) -> str:
        return f"{self.queue}:{self.number}"

    @property
    def origin(self) -> Mapping[str, Any]:
        return {"queue": self.queue, "number": self.number}


class MemoryQueue:
    """What both have in common. `held` is what was delivered and not yet answered, by its number."""

    name = ""

    def __init__(self, *bodies: bytes) -> None:
        self.held: dict[int, MemoryDelivery] = {}
        self.letters: list[tuple[str, bytes]] = []  # the connection, and the letter
        self.letters_fail: dict[str, Exception] = {}  # by connection
        self.throttled = False
        self.sent_ms = 0  # of what is delivered from now on
        self._take: Take | None = None
        self.put(*bodies)

    def put(self, *bodies: bytes) -> None:
        raise NotImplementedError

    def _next(self) -> MemoryDelivery | None:
        raise NotImplementedError

    @property
    def unfinished(self) -> int:
        raise NotImplementedError

    def connect(self, take: Take) -> None:
        """Deliver to this consumer from now on. Whatever an earlier one had is delivered again."""
        self._take = take
        self._deliver_soon()

    def disconnect(self) -> None:
        self._take = None

    def _deliver_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        deliveries: list[MemoryDelivery] = []
        while self._take and len(self.held) < (1 if self.throttled else LIMIT) and (found := self._next()):
            found.sent_ms = self.sent_ms
            self.held[found.number] = found
            deliveries.append(found)
        if self._take and deliveries:
            self._take(deliveries)

    def _drop(self, deliveries: Iterable[MemoryDelivery]) -> list[MemoryDelivery]:
        """Those that are still held, which they are no more."""
        held = [delivery for delivery in deliveries if self.held.get(delivery.number) is delivery]
        for delivery in held:
            del self.held[delivery.number]
        return held

    async def publish_dead_letters(self, deliveries: Sequence[MemoryDelivery], letters: Sequence[bytes]) -> None:
        (connection,) = {delivery.connection for delivery in deliveries}
        await asyncio.sleep(0)
        if connection in self.letters_fail:
            raise self.letters_fail[connection]
        self.letters += [(connection, letter) for letter in letters]

    keeps_max: int = LIMIT // 4

    def put_off(self, pauses: Mapping[MemoryDelivery, float]) -> set[MemoryDelivery]:
        return set()

    def throttle(self, on: bool) -> None:
        self.throttled = on
        if not on:
            self._deliver_soon()


class LogQueue(MemoryQueue):
    name = "log"

    def __init__(self, *bodies: bytes) -> None:
        self._log: list[bytes] = []
        self._offset = 0  # of the next message to deliver
        self._finished: set[int] = set()
        self.committed = 0  # all messages before this offset are finished
        super().__init__(*bodies)

    def put(self, *bodies: bytes) -> None:
        self._log += bodies
        if self._take:
            self._deliver_soon()

    def connect(self, take: Take) -> None:
        self.held.clear()
        self._finished.clear()
        self._offset = self.committed
        super().connect(take)

    @property
    def unfinished(self) -> int:
        return len(self._log) - self.committed

    def _next(self) -> MemoryDelivery | None:
        if self._offset == len(self._log):
            return None
        self._offset += 1
        return MemoryDelivery(self._offset - 1, self._log[self._offset - 1], self.name)

    def finish(self, deliveries: Iterable[MemoryDelivery]) -> None:
        self._finished.update(delivery.number for delivery in self._drop(deliveries))
        while self.committed in self._finished:
            self.committed += 1
        self._deliver_soon()

    def give_back(self, deliveries: Iterable[MemoryDelivery]) -> int:
        dropped = self._drop(deliveries)
        if dropped:
            self._offset = min(delivery.number for delivery in dropped)
            self._finished = {offset for offset in self._finished if offset < self._offset}
            self.held = {offset: delivery for offset, delivery in self.held.items() if offset < self._offset}
            self._deliver_soon()
        return len(dropped)


class ListQueue(MemoryQueue):
    name = "list"

    def __init__(self, *bodies: bytes) -> None:
        self._waiting: deque[bytes] = deque()
        self._returned: deque[MemoryDelivery] = deque()
        self._taken = 0
        self.forgotten = self.deferred = 0
        super().__init__(*bodies)

    def put(self, *bodies: bytes) -> None:
        self._waiting += bodies
        if self._take:
            self._deliver_soon()

    def connect(self, take: Take) -> None:
        self._returned.extend(self.held.values())
        self.held.clear()
        super().connect(take)

    @property
    def unfinished(self) -> int:
        return len(self._waiting) + len(self._returned) + len(self.held) + self.deferred

    def _next(self) -> MemoryDelivery | None:
        if self._returned:
            before = self._returned.popleft()
            return MemoryDelivery(before.number, before.body, self.name, before.attempts + 1, before.connection)
        if not self._waiting:
            return None
        self._taken += 1
        # Odd and even numbers come on two connections, each of which may break or fail to store letters.
        connection = "odd" if self._taken % 2 else "even"
        return MemoryDelivery(self._taken, self._waiting.popleft(), self.name, connection=connection)

    def finish(self, deliveries: Iterable[MemoryDelivery]) -> None:
        self._drop(deliveries)
        self._deliver_soon()

    def give_back(self, deliveries: Iterable[MemoryDelivery]) -> int:
        returned = self._drop(deliveries)
        self._returned.extend(returned)
        self._deliver_soon()
        return len(returned)

    def put_off(self, pauses: Mapping[MemoryDelivery, float]) -> set[MemoryDelivery]:
        put_off = self._drop(pauses)
        self.deferred += len(put_off)
        for delivery in put_off:
            asyncio.get_running_loop().call_later(pauses[delivery], self._return, [delivery])
        self._deliver_soon()
        return set(put_off)

    def _return(self, deliveries: list[MemoryDelivery]) -> None:
        self.deferred -= len(deliveries)
        self._returned.extend(deliveries)
        self._deliver()

    def forget(self, connection: str) -> None:
        """A connection breaks, and what came on it is forgotten: this node has the only copy now."""
        for delivery in self._drop([d for d in self.held.values() if d.connection == connection]):
            delivery.is_orphan = True
            self.forgotten += 1
        self._deliver_soon()
