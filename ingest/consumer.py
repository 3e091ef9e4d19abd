"""From a queue's messages to counted votes: what is the same for every queue, written once.

Each message is counted exactly once, or kept as a dead letter, before it is finished. The consumer does four things:

- group: messages that arrive while earlier ones are being counted are submitted together;
- cast: a group is submitted as votes from HTTP are, and finished when its outcome is known;
- hold: a group that cannot be counted now (no leader, too much waiting, outcome unknown) is tried again for a few
  seconds and then given back, for another node. Meanwhile the queue is asked for one message at a time;
- bury: a message that is no vote, and votes that were rejected, are kept as dead letters.

What a queue must promise (`Queue`):

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

import asyncio
import logging
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from quorate.errors import QuorateError, TooLarge
from quorate.ingest import dead_letters
from quorate.ingest.bodies import read_body
from quorate.ingest.source import Caster, SourceMetrics
from quorate.ingest.troubles import Troubles
from quorate.vote import Rejection, Tallied, Vote
from quorate.vote_json import BadVote

GROUP_VOTES_MAX = 2_000  # about 5 ms of the loop
GROUP_BYTES_MAX = 512 * 1024
GROUPS_UNDER_WAY = 3
ORPHAN_HOLD_S = 60.0
UNEXPECTED_PAUSE_S = 1.0

log = logging.getLogger(__name__)


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
D_contra = TypeVar("D_contra", bound=Delivery, contravariant=True)


class Queue(Protocol[D_contra]):
    """What a consumer needs of its queue. The queue hands messages to the consumer's `take`.

    It ignores an answer for a message that this node no longer has.
    """

    def finish(self, deliveries: Iterable[D_contra]) -> None: ...

    def give_back(self, deliveries: Iterable[D_contra]) -> int:
        """Let any node have them, at once. Returns how many this node still had."""
        ...

    async def publish_dead_letters(self, deliveries: Sequence[D_contra], letters: Sequence[bytes]) -> None:
        """Store the letters about these deliveries of one connection, unless the settings say to store none.

        Raises `ConnectionError` or `TimeoutError` if it is not known that all are stored.
        """
        ...

    def throttle(self, on: bool) -> None:
        """On: ask for one message at a time. Off: for as many as usual, at once."""
        ...


class _Group(Generic[D]):
    """Messages that are counted together. `starts[i]` is where the votes of `deliveries[i]` begin."""

    def __init__(self) -> None:
        self.deliveries: list[D] = []
        self.starts: list[int] = []
        self.votes: list[Vote] = []
        self.refused: dict[D, list[BadVote]] = {}
        self.poison: list[tuple[D, QuorateError]] = []
        self.bytes = 0

    def delivery_of(self, index: int) -> D:
        """The message that the vote at `index` came in."""
        return self.deliveries[bisect_right(self.starts, index) - 1]


class QueueConsumer(Generic[D]):
    """Counts what its queue hands to `take`, on the node's loop, until `stop`."""

    def __init__(
        self, queue: Queue[D], caster: Caster, troubles: Troubles, *, source: str, cast_timeout_s: float, hold_s: float
    ) -> None:
        self._queue, self._caster, self._troubles = queue, caster, troubles
        self._source = source
        self._cast_timeout_s, self._hold_s = cast_timeout_s, hold_s
        self._arrived: deque[D] = deque()
        self._groups: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.is_throttled = False
        self.metrics = SourceMetrics()
        self.last_dead_letter = ""

    async def stop(self, timeout_s: float) -> None:
        """Take no more, wait for the groups that are being counted, give the rest back at once. Idempotent."""
        self._stopping = True
        self._give_back(self._arrived)
        self._arrived.clear()
        if self._groups:
            await asyncio.wait(self._groups, timeout=timeout_s)
        for task in self._groups:
            task.cancel()
        await asyncio.gather(*self._groups, return_exceptions=True)

    # ---- group ------------------------------------------------------------------------------------------------------

    def take(self, deliveries: Sequence[D]) -> None:
        """Called by the queue with what has arrived."""
        if self._stopping:
            self._queue.give_back(deliveries)
            return
        self.metrics.messages += len(deliveries)
        self.metrics.redelivered += sum(delivery.attempts > 1 for delivery in deliveries)
        self._arrived.extend(deliveries)
        self._pump()

    def _pump(self) -> None:
        while self._arrived and len(self._groups) < GROUPS_UNDER_WAY:
            task = asyncio.create_task(self._process(self._next_group()))
            self._groups.add(task)
            task.add_done_callback(self._on_processed)

    def _on_processed(self, task: asyncio.Task[None]) -> None:
        self._groups.discard(task)
        if not task.cancelled() and task.exception():  # only a defect can cause that: the queue still has the messages
            log.error("%s: a group of messages stays unfinished", self._source, exc_info=task.exception())
        if not self._stopping:
            self._pump()

    def _next_group(self) -> _Group[D]:
        """What has arrived, oldest first, up to the size of a group."""
        group: _Group[D] = _Group()
        while self._arrived and len(group.votes) < GROUP_VOTES_MAX and group.bytes < GROUP_BYTES_MAX:
            delivery = self._arrived.popleft()
            group.bytes += len(delivery.body)
            try:
                body = read_body(delivery.body)
            except QuorateError as error:
                group.poison.append((delivery, error))
                continue
            group.deliveries.append(delivery)
            group.starts.append(len(group.votes))
            if body.refused:
                group.refused[delivery] = body.refused
            identity = ""
            for place, vote in enumerate(body.votes):
                if vote.id is None:
                    index = place if body.places is None else body.places[place]
                    identity = identity or delivery.identity
                    vote.id = f"{identity}:{index}"
            group.votes += body.votes
        self.metrics.votes += len(group.votes)
        return group

    # ---- cast and hold ----------------------------------------------------------------------------------------------

    async def _process(self, group: _Group[D]) -> None:
        """Each of its messages is finished, kept as a dead letter and finished, or given back."""
        tallied = await self._cast(group) if group.votes else Tallied(0, 0, [], 0)
        letters = self._poison_letters(group)
        if tallied is None:
            self._give_back(group.deliveries)
        else:
            self.metrics.applied += tallied.applied
            self.metrics.duplicates += tallied.duplicates
            letters |= self._vote_letters(group, tallied.rejected)
            self._queue.finish(delivery for delivery in group.deliveries if delivery not in letters)
        await self._bury(letters)

    async def _cast(self, group: _Group[D]) -> Tallied | None:
        """None if the group could not be counted in the time that it may be held here."""
        while True:
            try:
                tallied = await self._caster.cast(group.votes, timeout_s=self._cast_timeout_s)
            except QuorateError as error:
                self._on_failure(f"votes wait and are tried again: {error.detail}")
                pause_s = error.retry_after_s or 0.1
            except Exception as error:
                log.exception("%s: submitting failed as it never should; the messages are given back", self._source)
                self._on_failure(repr(error))
                await asyncio.sleep(UNEXPECTED_PAUSE_S)  # they come again at once
                return None
            else:
                self._on_success()
                return tallied
            if self._stopping:
                return None
            held_s = time.monotonic() + pause_s - group.deliveries[0].came_s
            if held_s > self._hold_s:
                self._give_back(group.deliveries)
                # An orphan in the group does not go back. The group is counted on for its sake; ids protect the others.
                if not any(delivery.is_orphan for delivery in group.deliveries) or held_s > ORPHAN_HOLD_S:
                    return None
            await asyncio.sleep(pause_s)

    def _on_failure(self, trouble: str) -> None:
        self._troubles.note("cluster", trouble)
        self.is_throttled = True
        self._queue.throttle(True)

    def _on_success(self) -> None:
        if self.is_throttled:
            self.is_throttled = False
            self._troubles.note("cluster", "")
            log.info("%s: votes are counted again", self._source)
            self._queue.throttle(False)

    def _give_back(self, deliveries: Iterable[D]) -> None:
        self.metrics.requeued += self._queue.give_back(deliveries)

    # ---- bury -------------------------------------------------------------------------------------------------------

    def _poison_letters(self, group: _Group[D]) -> dict[D, list[bytes]]:
        letters = {}
        for delivery, error in group.poison:
            reason = "too_large" if isinstance(error, TooLarge) else "invalid"
            letters[delivery] = [dead_letters.of_message(delivery.origin, delivery.body, reason, error.detail)]
        self.metrics.poison += len(letters)
        return letters

    def _vote_letters(self, group: _Group[D], rejections: Sequence[Rejection]) -> dict[D, list[bytes]]:
        """Letters about votes that the cluster rejected, and about votes that are invalid by themselves."""
        found: dict[D, list[tuple[str, str, Vote | bytes]]] = {
            delivery: [(r.reason, r.detail, r.raw) for r in refused] for delivery, refused in group.refused.items()
        }
        for rejection in rejections:
            vote = group.votes[rejection.index]
            found.setdefault(group.delivery_of(rejection.index), []).append((rejection.reason, rejection.detail, vote))
        for rejected in found.values():
            self.metrics.rejected.update(reason for reason, _, _ in rejected)
        return {d: list(dead_letters.of_votes(d.origin, rejected)) for d, rejected in found.items()}

    async def _bury(self, letters: Mapping[D, list[bytes]]) -> None:
        """Publish the letters, then finish their messages. Where that fails, the messages are given back instead."""
        for deliveries in _by_connection(letters):
            of_these = [letter for delivery in deliveries for letter in letters[delivery]]
            try:
                await self._queue.publish_dead_letters(deliveries, of_these)
            except (ConnectionError, TimeoutError) as error:
                why = str(error) or "too slow"
                trouble = f"dead letters could not be published ({why}); the messages come again"
                self._troubles.note("dead letters", trouble)
                self._give_back(deliveries)
            else:
                self._troubles.note("dead letters", "")
                self._report_dead(of_these)
                self._queue.finish(deliveries)

    def _report_dead(self, letters: Sequence[bytes]) -> None:
        """A flood of letters makes few lines in the log: one for the first, and one whenever the number has doubled."""
        before = self.metrics.dead_letters
        self.metrics.dead_letters += len(letters)
        self.last_dead_letter = letters[-1].partition(b"\n")[0].decode()
        if before.bit_length() < self.metrics.dead_letters.bit_length():
            log.warning(
                "%s: %d dead letters, the last: %s", self._source, self.metrics.dead_letters, self.last_dead_letter
            )


def _by_connection(deliveries: Iterable[D]) -> list[list[D]]:
    found: dict[Hashable, list[D]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.connection, []).append(delivery)
    return list(found.values())
