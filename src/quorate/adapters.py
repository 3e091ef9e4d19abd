"""From the settings to the adapters they name: sinks, sources, and the registration in Consul.

Modules are imported here when a setting asks for them. So a node without MongoDB does not load MongoDB's driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from quorate import __version__

if TYPE_CHECKING:
    from quorate.cluster.discovery.registration import Registration
    from quorate.cluster.submit.submitter import Submitter
    from quorate.config import Config
    from quorate.sinks.sink import Sink


class Source(Protocol):
    """A queue from which votes are taken."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def status(self) -> Mapping[str, Any]: ...


def make_sinks(config: Config) -> list[Sink]:
    if config.flush.sink == "sqlite":
        from quorate.sinks.sqlite import SqliteSink

        return [SqliteSink(config.flush.path)]
    if config.flush.sink == "mongo":
        from quorate.sinks.mongo.sink import MongoSink

        mongo = config.mongo
        return [MongoSink(mongo.url, database=mongo.database, collection=mongo.collection)]
    return []


def make_sources(config: Config, submitter: Submitter) -> list[Source]:
    if not config.nsq.enabled:
        return []
    from quorate.ingest.nsq.settings import NsqSettings
    from quorate.ingest.nsq.source import NsqSource

    nsq = config.nsq
    settings = NsqSettings(
        lookupd=nsq.lookupd,
        nsqd=nsq.nsqd,
        topic=nsq.topic,
        channel=nsq.channel,
        max_in_flight=nsq.max_in_flight,
        dead_letter=nsq.dead_letter,
        lookupd_poll_s=nsq.lookupd_poll_s,
        auth_secret=nsq.auth_secret,
    )
    return [NsqSource(submitter, settings, node_id=config.node.id)]


def make_registration(config: Config, health: Callable[[], str | None]) -> Registration | None:
    """`health` is called on the registration's thread: why this node is not ready, or None."""
    if not config.consul.address:
        return None
    from quorate.cluster.discovery.registration import Identity, Registration

    raft_address = str(config.raft_address())
    identity = Identity(config.node.id, config.node.cluster, config.http.url, raft_address, __version__)
    return Registration(config.consul, identity, health=health)
