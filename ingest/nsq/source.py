"""Votes from NSQ.

All nodes subscribe to one channel, so NSQ shares the messages among them. Each node submits its messages as it submits
votes from HTTP (`ingest/consumer.py`), and sends FIN when it knows their outcome. A message comes again after a
timeout, a crash of a node or an nsqd, or a producer's retry. It counts once by the ids of its votes. A vote without an
id gets one made of topic, message id and timestamp: these stay the same when nsqd delivers the message again, writes it
to its disk, or changes its address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quorate.ingest.consumer import QueueConsumer
from quorate.ingest.nsq.connection import NsqDelivery
from quorate.ingest.nsq.settings import NsqSettings
from quorate.ingest.nsq.subscription import Subscription
from quorate.ingest.source import Caster, SourceMetrics
from quorate.ingest.troubles import Troubles


class NsqSource:
    """A `Source`, made on the node's loop."""

    name = "nsq"

    def __init__(self, caster: Caster, settings: NsqSettings, *, node_id: str) -> None:
        self.settings = settings
        self.troubles = Troubles(self.name)
        self._subscription = Subscription(settings, node_id, take=self._take, note_trouble=self.troubles.note)
        self._consumer: QueueConsumer[NsqDelivery] = QueueConsumer(
            self._subscription,
            caster,
            self.troubles,
            source=self.name,
            cast_timeout_s=settings.cast_timeout_s,
            hold_s=settings.hold_s,
            unknown_wait_s=settings.unknown_wait_s,
        )

    def _take(self, deliveries: Sequence[NsqDelivery]) -> None:
        self._consumer.take(deliveries)

    @property
    def metrics(self) -> SourceMetrics:
        return self._consumer.metrics

    async def start(self) -> None:
        self._subscription.start()

    async def stop(self, timeout_s: float = 5.0) -> None:
        self._subscription.pause()
        await self._consumer.stop(timeout_s)
        await self._subscription.stop()

    def pause(self) -> None:
        self._subscription.pause()

    def resume(self) -> None:
        self._subscription.resume()

    def status(self) -> Mapping[str, Any]:
        connections = list(self._subscription.conns.values())
        metrics = self.metrics
        return {
            "topic": self.settings.topic,
            "channel": self.settings.channel,
            "connections": len(connections),
            "nsqd": sorted(connection.id for connection in connections),
            "depth": self._subscription.depth,
            "in_flight": sum(len(connection.held) for connection in connections),
            "in_flight_bytes": sum(connection.held_bytes for connection in connections),
            "throttled": self._consumer.is_throttled,
            "messages": metrics.messages,
            "votes": metrics.votes,
            "applied": metrics.applied,
            "duplicates": metrics.duplicates,
            "poison": metrics.poison,
            "dead_letters": metrics.dead_letters,
            "redelivered": metrics.redelivered,
            "requeued": metrics.requeued,
            "deferred": metrics.deferred,
            "not_deferred": metrics.not_deferred,
            "too_late": self._subscription.too_late,
            "rejected": dict(metrics.rejected),
            "last_error": self.troubles.last,
            "last_dead_letter": self._consumer.last_dead_letter,
        }


def make_source(section: object, caster: Caster, *, node_id: str) -> NsqSource:
    """`section` has the fields of `NsqSettings`, by the same names."""
    return NsqSource(caster, msgspec.convert(section, NsqSettings, from_attributes=True), node_id=node_id)
