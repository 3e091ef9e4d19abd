"""Votes from a queue on a simulated cluster: each message is counted once, however often it comes and whoever dies.

The queue keeps a message until it is finished. It delivers it again when the node that has it dies, and now and then
while the first delivery is still there.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.ingest.consumer import QueueConsumer
from quorate.ingest.troubles import Troubles
from tests.mutants.scenarios import Scenario
from tests.simulation.breaking import break_things
from tests.simulation.cluster import SimCluster, virtual_time
from tests.simulation.faults import heal
from tests.simulation.schedule import drawn

POLL, OPTION, OTHER = "mood", "happy", "sad"
BODY = b'{"option": "happy", "poll": "mood"}'
AGAIN_SHARE = 0.05  # of the looks, at which a message that a node has comes again


@dataclass(frozen=True, slots=True)
class ListedDelivery:
    identity: str
    attempts: int
    body: bytes = BODY
    came_s: float = field(default_factory=time.monotonic, compare=False)  # the consumer looks at that clock, too
    sent_ms: int = 0
    is_orphan: bool = False
    connection: int = 0

    @property
    def origin(self) -> Mapping[str, Any]:
        return {}


class MessageList:
    """The messages, and how often each was delivered."""

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}  # of those that are not finished
        self.waiting: deque[str] = deque()
        self.sent = 0

    def send(self) -> None:
        self.sent += 1
        identity = f"m{self.sent}"
        self.attempts[identity] = 0
        self.waiting.append(identity)

    def next(self) -> ListedDelivery | None:
        while self.waiting:
            identity = self.waiting.popleft()
            if identity in self.attempts:
                self.attempts[identity] += 1
                return ListedDelivery(identity, self.attempts[identity])
        return None


class NodeQueue:
    """What one process of a node sees of the list, with its consumer."""

    def __init__(self, messages: MessageList, submitter: Submitter) -> None:
        self.submitter = submitter
        self.has: set[str] = set()
        self._messages = messages
        self._dead = False
        self.consumer: QueueConsumer[ListedDelivery] = QueueConsumer(
            self, submitter, Troubles("list"), source="list", cast_timeout_s=1.0, hold_s=5.0, unknown_wait_s=1.0
        )

    def take(self, delivery: ListedDelivery) -> None:
        self.has.add(delivery.identity)
        self.consumer.take([delivery])

    def die(self) -> None:
        """All that it has comes again. Nothing that its consumer still does reaches the queue."""
        self._dead = True
        self._messages.waiting += sorted(self.has)
        self.has.clear()

    def finish(self, deliveries: Iterable[ListedDelivery]) -> None:
        for delivery in deliveries:
            if not self._dead:
                self._messages.attempts.pop(delivery.identity, None)
                self.has.discard(delivery.identity)

    def give_back(self, deliveries: Iterable[ListedDelivery]) -> int:
        had = [each.identity for each in deliveries if each.identity in self.has]
        self._messages.waiting += had
        self.has -= set(had)
        return len(had)

    def put_off(self, pauses: Mapping[ListedDelivery, float]) -> set[ListedDelivery]:
        return set()

    def throttle(self, is_throttled: bool) -> None:
        pass

    @property
    def keeps_max(self) -> int:
        return 100

    async def publish_dead_letters(self, deliveries: Sequence[ListedDelivery], letters: Sequence[bytes]) -> None:
        raise ConnectionError("there are none")


def _attend(cluster: SimCluster, messages: MessageList, queues: dict[str, NodeQueue], chance: random.Random) -> None:
    """Each process that runs takes what waits; one that is gone gives back what it had."""
    for name in cluster.names:
        submitter, queue = cluster.nodes[name].submitter, queues.get(name)
        if queue is not None and queue.submitter is not submitter:
            queues.pop(name).die()
        if submitter is not None and name not in queues:
            queues[name] = NodeQueue(messages, submitter)
    taken = sorted({identity for queue in queues.values() for identity in queue.has})
    if taken and chance.random() < AGAIN_SHARE:
        messages.waiting.append(chance.choice(taken))
    while queues and (delivery := messages.next()) is not None:
        queues[chance.choice(sorted(queues))].take(delivery)


async def _run(seed: int, seconds: float, likelier: dict[str, float]) -> list[str]:
    cluster, chance = SimCluster(seed, "abc"), random.Random(f"queue {seed}")
    schedule = drawn(seed, "abc", seconds=seconds, likelier={**likelier, "crash-point": 0})
    for name in cluster.names:
        await cluster.start(name)
    await cluster.until(cluster.leader, 20, "a first leader")
    await cluster.until(
        lambda: all(n.replica and n.replica.state.hash_key for n in cluster.nodes.values()), 10, "a state"
    )
    submitter = cluster.nodes[cluster.leader() or ""].submitter
    assert submitter is not None
    await submitter.create_poll(CreatePoll(POLL, "", [OPTION, OTHER], "open", None, False), timeout_s=10)
    faults = asyncio.ensure_future(break_things(cluster, schedule))
    messages, queues = MessageList(), dict[str, NodeQueue]()
    while cluster.loop.time() < seconds:
        for _ in range(chance.randrange(5)):
            messages.send()
        _attend(cluster, messages, queues, chance)
        await asyncio.sleep(chance.uniform(0.02, 0.1))
    await faults
    await heal(cluster)
    end_s = cluster.loop.time() + 30
    while messages.attempts and cluster.loop.time() < end_s:
        _attend(cluster, messages, queues, chance)
        await asyncio.sleep(0.1)
    await asyncio.sleep(2.0)
    state = max((node.replica.state for node in cluster.nodes.values() if node.replica), key=lambda s: s.version)
    counted = (state.results(POLL) or {}).get(OPTION, 0)
    for queue in queues.values():
        await queue.consumer.stop(1.0)
    broken = [f"{len(messages.attempts)} messages are never finished"] if messages.attempts else []
    if counted != messages.sent:
        broken.append(f"{messages.sent} messages were sent and finished, and {counted} votes were counted")
    return cluster.broken + broken


def _queue_history(seed: int, seconds: float, likelier: dict[str, float]) -> list[str]:
    with virtual_time() as runner:
        return runner.run(_run(seed, seconds, likelier))


def from_a_queue(seconds: float = 6.0, **likelier: float) -> Scenario:
    return partial(_queue_history, seconds=seconds, likelier=likelier)
