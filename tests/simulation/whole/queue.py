"""A queue beside simulated nodes, and the people who put polls into the sink by hand.

The queue is a double of nsqd: it delivers a message to some node, and again to another one if the node dies or gives it
back. On the nodes the real consumer takes it. Each message votes for an option of its own in a poll with write-ins, or
in a poll that somebody puts into the sink by hand, perhaps only after the message. In the end each of them must be
counted exactly once, none may be a dead letter, and a poll that was put there by hand still has what it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import QuorateError
from quorate.ingest.consumer import QueueConsumer
from quorate.ingest.troubles import Troubles
from tests.simulation.deaths import as_client_of, as_node

if TYPE_CHECKING:
    from tests.simulation.whole.nodes import WholeCluster

POLL = "queue"
HAND_MADE = ("happy", "sad")
LOOK_S = 0.03
IN_FLIGHT_MAX = 4  # messages at one node
WAY_S = (0.0002, 0.01)
WAIT_S = 30.0  # for a poll that nobody knows yet


@dataclass(frozen=True, eq=False)
class SimDelivery:
    body: bytes
    identity: str
    attempts: int
    came_s: float
    connection: Hashable
    sent_ms: int = 0
    is_orphan: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)


class NodesQueue:
    """The queue as one life of a node sees it: what its consumer does comes to the broker, if the node lives until then
    or if chance has it."""

    keeps_max = 2

    def __init__(self, broker: SimBroker, name: str, submitter: Submitter) -> None:
        self._broker = broker
        self.name = name
        self.here: dict[SimDelivery, None] = {}  # in the order in which they came: a set has another in each process
        self.room = IN_FLIGHT_MAX
        self.is_dead = False
        self.consumer: QueueConsumer[SimDelivery] = QueueConsumer(
            self,
            submitter,
            Troubles("sim"),
            source="sim",
            cast_timeout_s=1.0,
            hold_s=3.0,
            unknown_wait_s=WAIT_S,
        )

    def finish(self, deliveries: Iterable[SimDelivery]) -> None:
        for delivery in self._leave(deliveries):
            self._broker.later(lambda delivery=delivery: self._broker.finished(delivery, self))

    def give_back(self, deliveries: Iterable[SimDelivery]) -> int:
        gone = self._leave(deliveries)
        for delivery in gone:
            self._broker.again(delivery, 0.0)
        return len(gone)

    def put_off(self, pauses: Mapping[SimDelivery, float]) -> set[SimDelivery]:
        gone = self._leave(pauses)
        for delivery in gone:
            self._broker.again(delivery, pauses[delivery])
        return set(gone)

    async def publish_dead_letters(self, deliveries: Sequence[SimDelivery], letters: Sequence[bytes]) -> None:
        self._broker.broken += [f"a dead letter: {letter.decode()[:200]}" for letter in letters]

    def throttle(self, on: bool) -> None:
        self.room = 1 if on else IN_FLIGHT_MAX

    def die(self) -> None:
        """What it has not answered comes again. The last answers may be lost."""
        self.is_dead = True
        for delivery in self._leave(list(self.here)):
            self._broker.again(delivery, self._broker.rng.uniform(0, 0.5))
        for task in [*self.consumer._groups, *self.consumer._rests.values()]:
            task.cancel()

    def _leave(self, deliveries: Iterable[SimDelivery]) -> list[SimDelivery]:
        found = [delivery for delivery in deliveries if delivery in self.here]
        for delivery in found:
            self.here.pop(delivery, None)
        return found


class SimBroker:
    def __init__(self, cluster: WholeCluster) -> None:
        self._cluster = cluster
        self.rng = random.Random(f"queue {cluster.seed}")
        self.broken = cluster.broken
        self.options: dict[str, str] = {}  # message -> the option in POLL that it votes for
        self.by_hand: dict[str, dict[str, int]] = {}  # poll -> the results that it must have in the end
        self._waiting: deque[tuple[str, bytes, int]] = deque()
        self._unfinished: set[str] = set()
        self._numbers = 0
        self._made = 0

    async def run(self, until_s: float) -> None:
        """Publish until then, and deliver until all is finished."""
        await self._create()
        while self._cluster.loop.time() < until_s or self._unfinished:
            if self._cluster.loop.time() < until_s and self.rng.random() < 0.15:
                self._publish()
            if self._cluster.loop.time() < until_s and self.rng.random() < 0.01:
                await self._put_into_sink()
            self._deliver()
            await asyncio.sleep(LOOK_S)

    async def _create(self) -> None:
        """POLL takes whatever is written in."""
        poll = CreatePoll(POLL, "", [], "open", None, True)
        while True:
            name = self.rng.choice(self._cluster.names)
            submitter = self._cluster.nodes[name].submitter
            if submitter is not None:
                with contextlib.suppress(QuorateError), as_client_of(name):
                    await submitter.create_poll(poll, timeout_s=1.0)
                    return
            await asyncio.sleep(0.1)

    # ---- people -----------------------------------------------------------------------------------------------------

    def _publish(self, poll: str = POLL) -> None:
        self._numbers += 1
        message = f"m{self._numbers}"
        if poll == POLL:
            self.options[message] = message
            option = message
        else:
            option = self.rng.choice(HAND_MADE)
            self.by_hand[poll][option] += 1
        vote = {"option": option, "poll": poll, **({"id": f"{message}-id"} if self.rng.random() < 0.5 else {})}
        self._unfinished.add(message)
        self._waiting.append((message, msgspec.json.encode(vote), 0))

    async def _put_into_sink(self) -> None:
        """A poll with results, and votes for it that may be counted before anybody has found it."""
        self._made += 1
        poll = f"hand-{self._made}"
        results = {option: self.rng.randrange(50) for option in HAND_MADE}
        self.by_hand[poll] = results
        row = (poll, msgspec.json.encode(HAND_MADE).decode(), msgspec.json.encode(results).decode())
        for _ in range(self.rng.randrange(4)):
            self._publish(poll)
        await asyncio.sleep(self.rng.uniform(0, 0.5))
        with contextlib.closing(sqlite3.connect(self._cluster.sink_path, isolation_level=None)) as db:
            db.execute("insert into polls (id, options, results) values (?, ?, ?)", row)
        self._cluster.saw("poll put into the sink by hand")
        for _ in range(self.rng.randrange(4)):
            self._publish(poll)

    # ---- the queue --------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        queues = [parts.queue for parts in self._cluster.parts.values()]
        self.rng.shuffle(queues)
        for queue in queues:
            some = []
            while self._waiting and len(queue.here) < queue.room:
                message, body, attempts = self._waiting.popleft()
                delivery = SimDelivery(body, message, attempts + 1, self._cluster.loop.time(), queue)
                queue.here[delivery] = None
                some.append(delivery)
                if attempts:
                    self._cluster.saw("message delivered again")
            if some:
                with as_node(queue.name):
                    queue.consumer.take(some)

    def later(self, act: Any) -> None:
        self._cluster.loop.call_later(self.rng.uniform(*WAY_S), act)

    def finished(self, delivery: SimDelivery, queue: NodesQueue) -> None:
        if queue.is_dead and self.rng.random() < 0.5:
            self.again(delivery, 0.0)  # the answer was lost with the node
        else:
            self._unfinished.discard(delivery.identity)

    def again(self, delivery: SimDelivery, pause_s: float) -> None:
        message = (delivery.identity, delivery.body, delivery.attempts)
        self._cluster.loop.call_later(pause_s + self.rng.uniform(*WAY_S), self._waiting.append, message)

    # ---- the verdict ------------------------------------------------------------------------------------------------

    def judge(self, results: Mapping[str, Mapping[str, int]]) -> list[str]:
        """`results` of each poll, as the leader counts them."""
        counted = results.get(POLL, {})
        broken = [f"message {m} is counted {counted.get(m, 0)} times" for m in self.options if counted.get(m) != 1]
        broken += [
            f"{poll}, put into the sink by hand, has {results.get(poll)} instead of {expected}"
            for poll, expected in self.by_hand.items()
            if dict(results.get(poll, {})) != expected
        ]
        return broken
