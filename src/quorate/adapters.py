"""From the settings to the adapters they name: sinks, sources, and the registration in Consul.

Modules are imported here when a setting asks for them. So a node without MongoDB does not load MongoDB's driver.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from quorate import __version__

if TYPE_CHECKING:
    from quorate.cluster.discovery.registration import Registration
    from quorate.config import Config
    from quorate.ingest.source import Caster, Source
    from quorate.sinks.sink import Sink


# A source's name, which is also that of its settings section, and the module whose `make_source` makes it. The section
# says by `enabled` whether the node has this source.
SOURCES = {
    "nsq": "quorate.ingest.nsq.source",
}


def make_sinks(config: Config) -> list[Sink]:
    if config.flush.sink == "sqlite":
        from quorate.sinks.sqlite import SqliteSink

        return [SqliteSink(config.flush.path)]
    if config.flush.sink == "mongo":
        from quorate.sinks.mongo.sink import MongoSink

        mongo = config.mongo
        return [MongoSink(mongo.url, database=mongo.database, collection=mongo.collection)]
    return []


def make_sources(config: Config, caster: Caster) -> list[Source]:
    """All sources that the settings ask for, in the order of `SOURCES`."""
    asked = {name: module for name, module in SOURCES.items() if getattr(config, name).enabled}
    return [
        import_module(module).make_source(getattr(config, name), caster, node_id=config.node.id)
        for name, module in asked.items()
    ]


def make_registration(config: Config, health: Callable[[], str | None]) -> Registration | None:
    """`health` is called on the registration's thread: why this node is not ready, or None."""
    if not config.consul.address:
        return None
    from quorate.cluster.discovery.registration import Identity, Registration

    raft_address = str(config.raft_address())
    identity = Identity(config.node.id, config.node.cluster, config.http.url, raft_address, __version__)
    return Registration(config.consul, identity, health=health)
