"""From a queue's messages to counted votes: what is the same for every queue, written once.

Each message is counted exactly once, or kept as a dead letter, before it is finished. The consumer does five things:

- group: messages that arrive while earlier ones are being counted are submitted together;
- cast: a group is submitted as votes from HTTP are, and finished when its outcome is known;
- hold: a group that cannot be counted now (no leader, too much waiting, outcome unknown) is tried again for a few
  seconds and then given back, for another node. Meanwhile the queue is asked for one message at a time;
- put off: a message with votes for an option or a poll that nobody knows is tried again for a while (`patience.py`);
- bury: a message that is no vote, and votes that were rejected, are kept as dead letters.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from quorate.errors import QuorateError
from quorate.ingest.group import Group
from quorate.ingest.patience import UNKNOWN, Patience
from quorate.ingest.queue import Delivery, Queue
from quorate.ingest.source import Caster, SourceMetrics
from quorate.ingest.troubles import Troubles
from quorate.vote import Rejection, Tallied

GROUP_VOTES_MAX = 2_000  # about 5 ms of the loop
GROUP_BYTES_MAX = 512 * 1024
GROUPS_UNDER_WAY = 3
KEPT_BYTES_MAX = 4 * 1024 * 1024  # of messages that wait here for an option or a poll
ORPHAN_HOLD_S = 60.0
UNEXPECTED_PAUSE_S = 1.0

log = logging.getLogger(__name__)


D = TypeVar("D", bound=Delivery)


class QueueConsumer(Generic[D]):
    """Counts what its queue hands to `take`, on the node's loop, until `stop`."""

    def __init__(
        self,
        queue: Queue[D],
        caster: Caster,
        troubles: Troubles,
        *,
        source: str,
        cast_timeout_s: float,
        hold_s: float,
        unknown_wait_s: float,
    ) -> None:
        self._queue, self._caster, self._troubles = queue, caster, troubles
        self._source = source
        self._cast_timeout_s, self._hold_s = cast_timeout_s, hold_s
        self._patience = Patience(unknown_wait_s)
        self._arrived: deque[D] = deque()
        self._groups: set[asyncio.Task[None]] = set()
        self._rests: dict[D, asyncio.Task[None]] = {}  # messages that wait here for an option or a poll
        self._kept: Counter[Hashable] = Counter()  # how many of these each connection delivered
        self._kept_bytes = 0
        self._stopping = asyncio.Event()
        self.is_throttled = False
        self.metrics = SourceMetrics()
        self.last_dead_letter = ""

    async def stop(self, timeout_s: float) -> None:
        """Take no more, wait for the groups that are being counted, give the rest back at once. Idempotent."""
        self._stopping.set()
        self._give_back(self._arrived)
        self._arrived.clear()
        if tasks := [*self._groups, *self._rests.values()]:
            await asyncio.wait(tasks, timeout=timeout_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- group ------------------------------------------------------------------------------------------------------

    def take(self, deliveries: Sequence[D]) -> None:
        """Called by the queue with what has arrived."""
        if self._stopping.is_set():
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
        if not self._stopping.is_set():
            self._pump()

    def _next_group(self) -> Group[D]:
        """What has arrived, oldest first, up to the size of a group."""
        group: Group[D] = Group()
        while self._arrived and len(group.votes) < GROUP_VOTES_MAX and group.bytes < GROUP_BYTES_MAX:
            group.add(self._arrived.popleft())
        self.metrics.votes += len(group.votes)
        return group

    # ---- cast and hold ----------------------------------------------------------------------------------------------

    async def _process(self, group: Group[D]) -> None:
        """Each of its messages is finished, kept as a dead letter and finished, or given back."""
        tallied = await self._cast(group) if group.votes else Tallied(0, 0, [], 0)
        letters = group.poison_letters()
        self.metrics.poison += len(letters)
        if tallied is None:
            self._give_back(group.deliveries)
        else:
            self.metrics.applied += tallied.applied
            self.metrics.duplicates += tallied.duplicates
            rejections = group.by_delivery(tallied.rejected)
            waiting = self._put_off(group, rejections)
            letters |= group.vote_letters(rejections, self.metrics.rejected)
            self._finish([d for d in group.deliveries if d not in letters and d not in waiting])
        await self._bury(letters)

    async def _cast(self, group: Group[D]) -> Tallied | None:
        """None if the group could not be counted in the time that it may be held here."""
        since_s = time.monotonic() if group.is_rest else group.deliveries[0].came_s
        while True:
            try:
                tallied = await self._caster.cast(group.votes, timeout_s=self._cast_timeout_s, sent_ms=group.sent_ms)
            except QuorateError as error:
                self._on_failure(f"votes wait and are tried again: {error.detail}")
                pause_s = error.retry_after_s or 0.1
            except Exception as error:
                log.exception("%s: submitting failed in a way that is a bug; the messages are given back", self._source)
                self._on_failure(repr(error))
                await asyncio.sleep(UNEXPECTED_PAUSE_S)  # they come again at once
                return None
            else:
                self._on_success()
                return tallied
            if self._stopping.is_set():
                return None
            held_s = time.monotonic() + pause_s - since_s
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

    def _finish(self, deliveries: Iterable[D]) -> None:
        deliveries = list(deliveries)
        self._queue.finish(deliveries)
        self._patience.forget(deliveries)

    # ---- put off ----------------------------------------------------------------------------------------------------

    def _put_off(self, group: Group[D], rejections: dict[D, list[Rejection]]) -> set[D]:
        """Let messages wait whose votes name what nobody knows. They and their rejections are left out of the group."""
        unknown = {d: its for d, its in rejections.items() if any(each.reason in UNKNOWN for each in its)}
        pauses = {d: pause_s for d in unknown if (pause_s := self._pause_s(d)) > 0}
        if self._stopping.is_set():
            waiting = set(pauses)
            self._give_back(pauses)
        else:
            # If some of its votes are decided, the message does not go back: they would be submitted again, each time.
            waiting = self._queue.put_off({d: pauses[d] for d in pauses if not group.is_decided_in_part(unknown[d])})
            for delivery in pauses:
                if delivery not in waiting and self._may_keep(group, delivery):
                    self._keep(delivery, group.rest(delivery, unknown[delivery]), pauses[delivery])
                    waiting.add(delivery)
            self.metrics.deferred += len(waiting)
        for delivery in waiting:
            del rejections[delivery]
            group.rejected.pop(delivery, None)
        return waiting

    def _pause_s(self, delivery: D) -> float:
        """How long this message shall wait now. 0: its votes become dead letters."""
        if self._patience.admits(delivery.identity):
            return self._patience.pause_s(delivery.identity)
        self.metrics.not_deferred += 1
        return 0.0

    def _may_keep(self, group: Group[D], delivery: D) -> bool:
        """Whether it may be kept here, unanswered, beside those that are: they must not be all that the queue gives."""
        beside = self._kept[delivery.connection] < self._queue.keeps_max
        if group.is_rest or (beside and self._kept_bytes + len(delivery.body) <= KEPT_BYTES_MAX):
            return True
        self.metrics.not_deferred += 1
        return False

    def _keep(self, delivery: D, rest: Group[D], pause_s: float) -> None:
        """Keep it here for this pause. It has its place until its rest is processed and not kept again."""
        if delivery not in self._rests:
            self._kept[delivery.connection] += 1
            self._kept_bytes += len(delivery.body)
        task = self._rests[delivery] = asyncio.create_task(self._try_again(rest, pause_s))
        task.add_done_callback(functools.partial(self._on_tried_again, delivery))

    def _on_tried_again(self, delivery: D, task: asyncio.Task[None]) -> None:
        if self._rests.get(delivery) is task:
            del self._rests[delivery]
            self._kept[delivery.connection] -= 1
            self._kept += Counter()  # drops what is zero
            self._kept_bytes -= len(delivery.body)
        self._on_processed(task)

    async def _try_again(self, rest: Group[D], pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        if self._stopping.is_set():
            self._give_back(rest.deliveries)
        else:
            await self._process(rest)

    # ---- bury -------------------------------------------------------------------------------------------------------

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
                self._finish(deliveries)

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
