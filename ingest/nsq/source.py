"""Votes from NSQ: every message taken is counted exactly once, or kept as a dead letter, before it is finished.

All nodes subscribe to one channel, so NSQ shares the work among them, and each submits as HTTP does. What arrives while
earlier messages are being counted is submitted together; FIN follows the outcome. A message comes again after a
timeout, a crash here or there, or a producer's retry, and counts once by the ids of its votes: the vote's own, or else
one made of topic, message id and timestamp, which redelivery, requeue, nsqd's disk and its address leave alone.

What cannot be counted now (no leader, too much waiting, outcome unknown) is held a few seconds and tried again, then
given back for another node, without backoff; meanwhile one message at a time is asked for. A message is gone from its
nsqd only after its outcome is known; the votes of a connection that broke are counted all the same, because nsqd may
have forgotten them. Nothing vanishes: what is no vote, and votes that were rejected, go to the dead letter topic.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from quorate.errors import QuorateError, TooLarge
from quorate.ingest import dead_letters
from quorate.ingest.bodies import read_body
from quorate.ingest.nsq.connection import NsqdConnection, NsqDelivery
from quorate.ingest.nsq.subscription import NsqSettings, Subscription
from quorate.vote import Rejection, Tallied, Vote
from quorate.vote_json import BadVote

__all__ = ["NsqSettings", "NsqSource"]

GROUP_VOTES_MAX = 2_000  # about 5 ms of the loop
GROUP_BYTES_MAX = 512 * 1024
GROUPS_UNDER_WAY = 3
ORPHAN_HOLD_S = 60.0  # for messages of a connection that broke: no other node may have them
LETTERS_TIMEOUT_S = 5.0
UNEXPECTED_PAUSE_S = 1.0

log = logging.getLogger(__name__)


class Caster(Protocol):
    """What is needed of `cluster.submit.Submitter`."""

    async def cast(self, votes: Sequence[Vote], *, timeout_s: float) -> Tallied: ...


class _Group:
    """Messages that are counted together. `starts[i]` is where the votes of `deliveries[i]` begin."""

    def __init__(self) -> None:
        self.deliveries: list[NsqDelivery] = []
        self.starts: list[int] = []
        self.votes: list[Vote] = []
        self.refused: dict[NsqDelivery, list[BadVote]] = {}
        self.poison: list[tuple[NsqDelivery, QuorateError]] = []
        self.bytes = 0

    def owner(self, index: int) -> NsqDelivery:
        return self.deliveries[bisect_right(self.starts, index) - 1]


class NsqSource:
    """Runs on the node's loop, from `start` to `stop`."""

    name = "nsq"

    def __init__(self, caster: Caster, settings: NsqSettings, *, node_id: str) -> None:
        self.settings = settings
        self._caster = caster
        self._id_prefix = f"nsq:{settings.topic}:"
        self._subscription: Subscription | None = None
        self._node_id = node_id
        self._arrived: deque[NsqDelivery] = deque()
        self._groups: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._failing = False
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._troubles: dict[str, str] = {}  # whose, and which
        self._last_error = self._last_dead_letter = ""

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to take messages. It does not wait for an nsqd: none need be there yet."""
        self._subscription = Subscription(self.settings, self._node_id, self._on_deliveries, self._note)
        self._subscription.start()

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Take no more, finish what is being counted, give the rest back at once. Idempotent."""
        if self._subscription is None:
            return
        self._stopping = True
        self._subscription.pause()
        self._give_back(self._arrived)
        self._arrived.clear()
        if self._groups:
            await asyncio.wait(self._groups, timeout=timeout_s)
        for task in self._groups:
            task.cancel()
        await asyncio.gather(*self._groups, return_exceptions=True)
        await self._subscription.stop()
        self._subscription = None

    def status(self) -> Mapping[str, Any]:
        subscription = self._subscription
        connections = list(subscription.conns.values()) if subscription else []
        counted = ("messages", "votes", "applied", "duplicates", "poison", "dead_letters", "redelivered", "requeued")
        return {
            "topic": self.settings.topic,
            "channel": self.settings.channel,
            "connections": len(connections),
            "nsqd": sorted(connection.id for connection in connections),
            "depth": subscription.depth if subscription else None,
            "in_flight": sum(len(connection.held) for connection in connections),
            "in_flight_bytes": sum(connection.held_bytes for connection in connections),
            "throttled": self._failing,
            **{name: self._counts[name] for name in counted},
            "too_late": subscription.too_late if subscription else 0,
            "rejected": dict(self._rejected),
            "last_error": self._last_error,
            "last_dead_letter": self._last_dead_letter,
        }

    def _note(self, whose: str, error: str) -> bool:
        """Say it once, until all is well ("") with whom it is about. Whether that is news."""
        before = self._troubles.pop(whose, "")
        if error:
            self._troubles[whose] = self._last_error = error
            if error != before:
                log.warning("nsq: %s", error)
        return error != before

    # ---- gathering --------------------------------------------------------------------------------------------------

    def _on_deliveries(self, connection: NsqdConnection, deliveries: list[NsqDelivery]) -> None:
        if self._stopping:
            connection.give_back(deliveries)
            return
        self._counts["messages"] += len(deliveries)
        self._counts["redelivered"] += sum(delivery.attempts > 1 for delivery in deliveries)
        self._arrived.extend(deliveries)
        self._pump()

    def _pump(self) -> None:
        while self._arrived and len(self._groups) < GROUPS_UNDER_WAY:
            task = asyncio.create_task(self._settle(self._gather()))
            self._groups.add(task)
            task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._groups.discard(task)
        if not task.cancelled() and task.exception():
            log.error("nsq: a group of messages was left to its timeout", exc_info=task.exception())
        if not self._stopping:
            self._pump()

    def _gather(self) -> _Group:
        """A group of what has arrived, oldest first."""
        group = _Group()
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
            for place, vote in enumerate(body.votes):
                if vote.id is None:
                    index = place if body.places is None else body.places[place]
                    vote.id = f"{self._id_prefix}{delivery.id.decode()}:{delivery.timestamp_ns}:{index}"
            group.votes += body.votes
        self._counts["votes"] += len(group.votes)
        return group

    # ---- counting ---------------------------------------------------------------------------------------------------

    async def _settle(self, group: _Group) -> None:
        """See a group to its end: finished, kept as dead letters, or given back."""
        tallied = await self._cast(group) if group.votes else Tallied(0, 0, [], 0)
        letters = self._poison_letters(group)
        if tallied is None:
            self._give_back(group.deliveries)
        else:
            self._counts["applied"] += tallied.applied
            self._counts["duplicates"] += tallied.duplicates
            letters |= self._vote_letters(group, tallied.rejected)
            for connection, deliveries in _by_connection(d for d in group.deliveries if d not in letters).items():
                connection.finish(deliveries)
        await self._bury(letters)

    async def _cast(self, group: _Group) -> Tallied | None:
        """None if it could not be counted for as long as it may be held here."""
        while True:
            try:
                tallied = await self._caster.cast(group.votes, timeout_s=self.settings.cast_timeout_s)
            except QuorateError as error:
                self._fail(f"votes wait and are tried again: {error.detail}")
                pause_s = error.retry_after_s or 0.1
            except Exception as error:
                log.exception("nsq: submitting failed as it never should; the messages are given back")
                self._fail(repr(error))
                await asyncio.sleep(UNEXPECTED_PAUSE_S)  # they come again at once
                return None
            else:
                self._recover()
                return tallied
            if self._stopping or self._is_held_too_long(group, pause_s):
                return None
            await asyncio.sleep(pause_s)

    def _is_held_too_long(self, group: _Group, pause_s: float) -> bool:
        """Give the group back when its time is up; go on with it if we alone may have some of it, for ids protect."""
        held_s = time.monotonic() + pause_s - group.deliveries[0].came_s
        if held_s > self.settings.hold_s:
            self._give_back(group.deliveries)
        orphans = any(delivery.connection.ended.done() for delivery in group.deliveries)
        return held_s > (ORPHAN_HOLD_S if orphans else self.settings.hold_s)

    def _fail(self, error: str) -> None:
        self._note("cluster", error)
        self._failing = True
        if self._subscription is not None:
            self._subscription.throttle(True)

    def _recover(self) -> None:
        if self._failing:
            self._failing = False
            self._note("cluster", "")
            log.info("nsq: votes are counted again")
            if self._subscription is not None:
                self._subscription.throttle(False)

    def _give_back(self, deliveries: Iterable[NsqDelivery]) -> None:
        for connection, theirs in _by_connection(deliveries).items():
            self._counts["requeued"] += connection.give_back(theirs)

    # ---- dead letters -----------------------------------------------------------------------------------------------

    def _poison_letters(self, group: _Group) -> dict[NsqDelivery, list[bytes]]:
        letters = {}
        for delivery, error in group.poison:
            reason = "too_large" if isinstance(error, TooLarge) else "invalid"
            letters[delivery] = [dead_letters.of_message(self.settings.topic, delivery, reason, error.detail)]
        self._counts["poison"] += len(letters)
        return letters

    def _vote_letters(self, group: _Group, rejections: Sequence[Rejection]) -> dict[NsqDelivery, list[bytes]]:
        """Of votes that no longer can count, or never could."""
        found: dict[NsqDelivery, list[tuple[str, str, Vote | bytes]]] = {
            delivery: [(r.reason, r.detail, r.raw) for r in refused] for delivery, refused in group.refused.items()
        }
        for rejection in rejections:
            vote = group.votes[rejection.index]
            found.setdefault(group.owner(rejection.index), []).append((rejection.reason, rejection.detail, vote))
        for rejected in found.values():
            self._rejected.update(reason for reason, _, _ in rejected)
        topic = self.settings.topic
        return {
            delivery: list(dead_letters.of_votes(topic, delivery, rejected)) for delivery, rejected in found.items()
        }

    async def _bury(self, letters: Mapping[NsqDelivery, list[bytes]]) -> None:
        """Publish them where their messages came from, then finish those; what could not be kept is given back."""
        for connection, deliveries in _by_connection(letters).items():
            bodies = [letter for delivery in deliveries for letter in letters[delivery]]
            try:
                for part in _parts(bodies) if self.settings.dead_letter else ():
                    await connection.publish(self.settings.dead_letter, part, timeout_s=LETTERS_TIMEOUT_S)
            except (ConnectionError, TimeoutError) as error:
                why = str(error) or "too slow"
                self._note("dead letters", f"dead letters could not be published ({why}); the messages come again")
                self._give_back(deliveries)
            else:
                self._note("dead letters", "")
                self._tell_of_dead(bodies)
                connection.finish(deliveries)

    def _tell_of_dead(self, bodies: list[bytes]) -> None:
        """A flood of them is told in few lines: the 1st, then whenever their number has doubled."""
        before = self._counts["dead_letters"]
        self._counts["dead_letters"] += len(bodies)
        self._last_dead_letter = bodies[-1].partition(b"\n")[0].decode()
        if before.bit_length() < self._counts["dead_letters"].bit_length():
            log.warning("nsq: %d dead letters, the last: %s", self._counts["dead_letters"], self._last_dead_letter)


def _by_connection(deliveries: Iterable[NsqDelivery]) -> dict[NsqdConnection, list[NsqDelivery]]:
    found: dict[NsqdConnection, list[NsqDelivery]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.connection, []).append(delivery)
    return found


def _parts(bodies: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Each part small enough for one MPUB."""
    part: list[bytes] = []
    size = 0
    for body in bodies:
        if part and size + len(body) > 1024 * 1024:
            yield part
            part, size = [], 0
        part.append(body)
        size += len(body)
    if part:
        yield part
