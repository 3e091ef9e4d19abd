"""Batches that wait for a leader or a free place, leave, and are told what became of them.

Requests that arrive while earlier ones are under way join one batch. The leader puts its own batches and those that its
followers forward into one entry: one disk sync and one round to the followers, however many voters there are. While
nothing is under way, a vote leaves at once.

How a batch reaches the leader, when it is tried again, and what is "surely not" or "unknown" is the page of
`leader_call.py`; the wait for a leader is that of `leader_wait.py`. Here it is decided what leaves when: in order of
arrival, but for heavy batches (`departures.py`), and at most `PLACES` entries or forwarded batches at a time. The
second place is for the other kind of batches, and for when the disk or the network is slow.
The queue is bounded in bytes: a request beyond the bound is refused with `Overloaded`, surely not counted.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter

import msgspec

from quorate.cluster import entry
from quorate.cluster.fsm import Applied
from quorate.cluster.replica import Replica
from quorate.cluster.submit import sections, traced
from quorate.cluster.submit.batch import Batch
from quorate.cluster.submit.departures import (
    GIVING_WAY_BYTES,
    BatchAnswer,
    Departures,
    PendingBatch,
    TracedBatchAnswer,
)
from quorate.cluster.submit.leader_call import LeaderCall, may_try_again, unreadable
from quorate.cluster.submit.light_votes import LightVotes
from quorate.cluster.submit.open_batches import BATCH_BYTES, LIGHT_BYTES, OpenBatches
from quorate.crash_points import crash_point
from quorate.errors import Invalid, NoLeader, NotReady, OutcomeUnknown, Overloaded
from quorate.measures import COUNTS, Histogram
from quorate.tracing import RequestTrace
from quorate.unreadable import UNREADABLE
from quorate.vote import ENTRY_BYTES_MAX

WAITING_BYTES_MAX = 32 * 1024 * 1024
PLACES = 2  # more only make entries smaller
SWEEP_S = 0.1
REFUSAL_EVERY_S = 60.0  # between two log lines about batches that no follower may forward
FORWARDED_MAX = 8  # batches of one follower that wait here; one that tells the truth sends `PLACES` on each way
FORWARDED_S = 5.0  # how long a follower's batch may wait here; the follower has its own deadline
LIGHT_SECTION, LIGHT_SECTION_LEVEL = "light section", 1  # a forwarded batch of light requests alone
STOPPING = "this node is stopping; ask another one"

log = logging.getLogger(__name__)

_encode_answer = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(TracedBatchAnswer).decode


class BatchQueue:
    """Runs on the node's loop."""

    def __init__(
        self, replica: Replica, *, waiting_bytes_max: int = WAITING_BYTES_MAX, tells_steps: bool = False
    ) -> None:
        self._replica, self._tells_steps = replica, tells_steps
        self._leader = LeaderCall(
            replica,
            "section",
            partial(self._on_forwarded, is_light=False),
            no_leader="no leader is known: a majority of the nodes must be up and connected. Nothing was changed",
        )
        self._leader.serve(LIGHT_SECTION, partial(self._on_forwarded, is_light=True))
        self._waiting_bytes_max = waiting_bytes_max
        self._open = OpenBatches()  # not yet encoded: requests may still join
        self._loop = asyncio.get_running_loop()
        self.light_votes = LightVotes(replica)
        # Encoded, waiting for a leader or a free place.
        self._pending = Departures(self._loop.time, self.light_votes.come)
        self._sent: dict[int, PendingBatch] = {}  # by identity: sent, perhaps counted, not yet answered
        self._forwarded_by: Counter[str] = Counter()  # by peer: batches that it forwarded and that were not answered
        self._proposals: set[asyncio.Future[Applied]] = set()  # entries under way that this leadership proposed
        self._refusal_said_s = float("-inf")
        self._scheduled = False
        self._sweeping: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self._stopped = False
        self.waiting_bytes = 0
        self.batch_requests = Histogram(COUNTS)
        replica.on_leadership(self._on_leadership)

    # ---- joining ----------------------------------------------------------------------------------------------------

    def batch_for(self, size: int, deadline_s: float, knew: int | None = None) -> Batch:
        """The batch that a request of `size` bytes joins.

        `knew` is what this node knew when the request came (see `Batch`), if that was not just now.

        The caller adds its request at once: the batch leaves on the next turn of the loop at the earliest.
        """
        self._check_room(size)
        knows = self._replica.state.newest_again if knew is None else knew
        bulk_bytes = GIVING_WAY_BYTES if size > LIGHT_BYTES and self.light_votes.come() else BATCH_BYTES
        batch = self._open.batch_for(size, deadline_s, knows, bulk_bytes)
        batch.note_trace()
        self.waiting_bytes += size
        self._schedule()
        return batch

    def _check_room(self, size: int) -> None:
        if self._stopped:
            raise NotReady(STOPPING)
        if self.waiting_bytes + size > self._waiting_bytes_max:
            raise Overloaded("too many votes wait on this node; try again in a moment, or another node")

    @asynccontextmanager
    async def batch_alone(self, size: int, knew: int, *, goes_on: bool = False) -> AsyncIterator[Batch]:
        """A batch that no other request joins. It leaves after the block, which may take its time to fill it.

        With `goes_on` it has the rest of a request that found room before, and is not refused for want of it.
        """
        if not goes_on:
            self._check_room(size)
        batch = Batch(knew)
        batch.note_trace()
        batch.size = size
        self.waiting_bytes += size
        try:
            yield batch
            if self._stopped:
                raise NotReady(STOPPING)
        except BaseException:
            self.waiting_bytes -= size
            raise
        self._open.add_alone(batch)
        self._schedule()

    def _encode(self, batch: Batch) -> None:
        """Close an open batch: nothing joins it any more."""
        self.batch_requests.add(batch.requests)
        answer: asyncio.Future[BatchAnswer] = self._loop.create_future()
        answer.add_done_callback(lambda done: self._settle(batch, done))
        self._pending.add(PendingBatch.of(batch, answer))

    def _settle(self, batch: Batch, done: asyncio.Future[BatchAnswer]) -> None:
        self.waiting_bytes -= batch.size
        error = done.exception()
        if error is None:
            answer = done.result()
            batch.settle(answer.version, answer.results)
        else:
            batch.fail(error)

    # ---- leaving ----------------------------------------------------------------------------------------------------

    def _on_leadership(self, leads: bool) -> None:
        """Forwarded batches are given back at once: this node may be elected again before the queue moves, and a batch
        may be proposed only in the term in which it came.

        What it proposed may stay open for as long as it is cut off from the next leader. It must keep no vote from
        leaving by another way.
        """
        if not leads:
            self._give_back()
            self._proposals.clear()
            self._pending.forget_under_way()
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and (self._open or self._pending):
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Send what waits, if a leader is ready and a place is free. Refuse it if no leader can be expected."""
        self._scheduled = False
        self._sweep_later()
        leads = self._replica.is_leader
        if not leads:
            self._give_back()
        leader = self._leader.wait.ready
        if leader is None:
            if self._leader.wait.hopeless:
                self._refuse_waiting(math.inf)
            else:
                self._leader.wait.tell(self._schedule)
            return
        self._leader.abandon_others(leader)
        while (self._open or self._pending) and self._has_place():
            if not (self._propose() if leads else self._forward(leader)):
                break

    def _has_place(self) -> bool:
        """Whether something may leave now. If what waits has to gather first, we look again when it may leave."""
        taken = len(self._proposals) + self._leader.places_taken
        if taken >= PLACES or self._open.has_bulk:
            return taken < PLACES
        gather_s = self._pending.gather_s() if taken else self._pending.wait_s(self._open)
        if gather_s and self._gathering is None:
            self._gathering = self._loop.call_later(gather_s, self._gathered)
        return not gather_s

    def _gathered(self) -> None:
        self._gathering = None
        self._schedule()

    def _give_back(self) -> None:
        """Refuse what followers forwarded to us, now that we do not lead: they find the next leader."""
        for batch in self._pending.remove(lambda batch: not batch.ours):
            batch.refuse(NoLeader(f"{self._replica.node_id} does not lead any more"))

    def _take(self, bytes_max: int) -> list[PendingBatch]:
        """The batches that leave together now, encoded. Empty: none may leave."""
        for batch in self._open.close(bulk=not self._pending.has_bulk):
            self._encode(batch)
        return self._pending.take(bytes_max)

    def _mark_sent(self, group: list[PendingBatch]) -> None:
        self._sent.update((id(batch), batch) for batch in group)

    def _mark_done(self, group: list[PendingBatch]) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        for batch in group:
            del self._sent[id(batch)]
        rest_s = self._pending.ended(group, self._open)
        if rest_s:
            self._loop.call_later(rest_s, self._schedule)

    # ---- on the leader ----------------------------------------------------------------------------------------------

    def _propose(self) -> bool:
        """Propose one entry of our own batches and forwarded ones, up to its usual size. False: none may leave."""
        group = self._take(BATCH_BYTES)
        if not group:
            return False
        for batch in group:
            batch.attempt = None
        encoded = entry.encode_entry(self._replica.now_ms(), [batch.encoded for batch in group])
        proposal = traced.propose(self._replica, encoded, [trace for batch in group for trace in batch.traces])
        self._proposals.add(proposal)
        self._mark_sent(group)
        crash_point("batch-proposed" if group[0].ours else "forwarded-batch-proposed")
        proposal.add_done_callback(lambda done: self._committed(group, done))
        return True

    def _committed(self, group: list[PendingBatch], done: asyncio.Future[Applied]) -> None:
        self._proposals.discard(done)
        self._mark_done(group)
        error = done.exception()
        if error is None:
            applied = done.result()
            for batch, results in zip(group, applied.results, strict=True):
                batch.resolve(BatchAnswer(applied.version, results))
        else:
            self._failed(group, error)
        self._schedule()

    async def _on_forwarded(self, peer: str, encoded: bytes, *, is_light: bool) -> bytes:
        """Propose a follower's batch, or refuse it for sure."""
        if self._stopped:
            raise NoLeader(f"{self._replica.node_id} does not lead now")
        if self.waiting_bytes + len(encoded) > self._waiting_bytes_max or len(encoded) > ENTRY_BYTES_MAX:
            raise Overloaded(f"too many votes wait on the leader ({self._replica.node_id}); try again in a moment")
        if self._forwarded_by[peer] >= FORWARDED_MAX:
            raise Overloaded(f"too many batches of {peer} wait on the leader ({self._replica.node_id}) already")
        self._check(peer, encoded)
        deadline_s, came_s = self._loop.time() + FORWARDED_S, perf_counter()
        traces = (RequestTrace(came_s, joined_s=came_s),) if self._tells_steps else ()
        batch = PendingBatch(
            encoded, deadline_s, self._loop.create_future(), ours=False, traces=traces, is_light=is_light
        )
        self._pending.add(batch)
        self.waiting_bytes += len(encoded)
        self._forwarded_by[peer] += 1
        self._schedule()
        try:
            answer = await batch.answer
            for trace in traces:
                answer = TracedBatchAnswer(answer.version, answer.results, traced.steps_for(trace))
            crash_point("forwarded-batch-before-answer")
            return bytes(_encode_answer(answer))
        finally:
            self.waiting_bytes -= len(encoded)
            self._forwarded_by[peer] -= 1

    def _check(self, peer: str, encoded: bytes) -> None:
        """Raises an error that says what a follower may not forward."""
        try:
            sections.check(encoded, self._replica.state.level)
        except Invalid as error:
            now_s = self._loop.time()
            if now_s - self._refusal_said_s > REFUSAL_EVERY_S:
                self._refusal_said_s = now_s
                log.error("a batch that %s forwarded was refused: %s", peer, error.detail)
            raise

    # ---- on a follower ----------------------------------------------------------------------------------------------

    def _forward(self, leader: str) -> bool:
        """Forward one batch. False: none may leave."""
        group = self._take(0)
        if not group:
            return False
        (batch,) = group
        self._mark_sent(group)
        sent_s = perf_counter()
        traced.note_wait(batch.traces, sent_s)
        kind = LIGHT_SECTION if batch.is_light and self._replica.state.level >= LIGHT_SECTION_LEVEL else None
        batch.attempt = self._leader.start(
            leader, batch.encoded, lambda done: self._forwarded(batch, done, leader, sent_s), kind=kind
        )
        crash_point("batch-forwarded")
        return True

    def _forwarded(self, batch: PendingBatch, done: asyncio.Future[bytes], leader: str, sent_s: float) -> None:
        forward = traced.note_forward(batch.traces, sent_s, leader)
        self._mark_done([batch])
        if done.cancelled():  # given up at its deadline, after its requests were told
            self._schedule()
            return
        error = done.exception()
        if error is None:
            try:
                answer = _decode_answer(done.result())
                batch.resolve(answer)
                traced.note_leader(forward, leader, answer.steps)
            except UNREADABLE as garbled:
                error = OutcomeUnknown(unreadable("the leader", garbled))
        if error is not None:
            self._failed([batch], error)
        self._schedule()

    # ---- errors and deadlines ---------------------------------------------------------------------------------------

    def _failed(self, group: list[PendingBatch], error: BaseException) -> None:
        """Put batches that may be tried again back to the front of the queue; tell the others."""
        now_s = self._loop.time()
        if again := may_try_again(error):
            self._leader.wait.back_off(error)
        for batch in reversed(group):
            if again and now_s < batch.deadline_s and not batch.answer.done() and not self._stopped:
                self._pending.put_back(batch)
            else:
                batch.refuse(error)

    def _sweep_later(self) -> None:
        if self._sweeping is None and (self._open or self._pending or self._sent) and not self._stopped:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Tell each batch whose deadline has passed: surely not counted if it is waiting, unknown if it was sent.

        What this node proposed as a leader is unknown at once if it reaches the next leader over a peer only: the
        entries that would tell it do not come.
        """
        self._sweeping = None
        now_s = self._loop.time()
        self._refuse_waiting(now_s)
        self._tell_sent(now_s)
        if self._replica.leader_via is not None and not self._replica.is_leader:
            self._tell_proposed()
        self._schedule()
        self._sweep_later()

    def _refuse_waiting(self, until_s: float) -> None:
        """Refuse for sure the batches whose deadlines are not after `until_s`."""
        for open_batch in self._open.remove(lambda batch: batch.deadline_s <= until_s):
            self._encode(open_batch)
        for batch in self._pending.remove(lambda batch: batch.deadline_s <= until_s):
            batch.refuse(self._leader.too_late(sent=False))

    def _tell_sent(self, now_s: float) -> None:
        for batch in self._sent.values():
            if batch.deadline_s <= now_s:
                batch.refuse(self._leader.too_late(sent=True))
                if batch.attempt is not None:
                    self._leader.give_up(batch.attempt)

    def _tell_proposed(self) -> None:
        for batch in self._sent.values():
            if batch.attempt is None:
                batch.refuse(OutcomeUnknown("another node leads, and this one does not hear it"))

    def stop(self) -> None:
        """Refuse what waits (surely not counted). What was sent ends with its own answer. Idempotent."""
        self._stopped = True
        for timer in (self._sweeping, self._gathering):
            if timer is not None:
                timer.cancel()
        for batch in self._open.remove(lambda batch: True):
            self._encode(batch)
        for pending in self._pending.remove(lambda batch: True):
            pending.refuse(NotReady(STOPPING))
