"""From the settings to the adapters they name: sinks, sources, and the registration in Consul.

Modules are imported here when a setting asks for them. So a node without MongoDB does not load MongoDB's driver.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any

from quorate import __version__
from quorate.config import ADAPTERS
from quorate.errors import ConfigError

if TYPE_CHECKING:
    from quorate.backup.s3_store import S3Store
    from quorate.backup.scheduled import BackupSchedule
    from quorate.backup.store import BackupStore
    from quorate.cluster.discovery.registration import Registration
    from quorate.cluster.replica import Replica
    from quorate.config import Config
    from quorate.ingest.source import Caster, Source
    from quorate.otel_traces import OtelTracer
    from quorate.sinks.sink import Sink


def make_sinks(config: Config) -> list[Sink]:
    """The sinks that flush.sinks names, each made by `make_sink` of its module from its section."""
    modules = {name: ADAPTERS[name].sink for name in config.flush.sinks}
    return [_import(module).make_sink(config.adapters[name]) for name, module in modules.items()]


def make_sources(config: Config, caster: Caster) -> list[Source]:
    """The sources whose sections are `enabled`, each made by `make_source` of its module from its section."""
    modules = {name: adapter.source for name, adapter in ADAPTERS.items() if adapter.source is not None}
    sections: dict[str, Any] = config.adapters
    return [
        _import(module).make_source(sections[name], caster, node_id=config.node.id)
        for name, module in modules.items()
        if sections[name].enabled
    ]


def _import(module: str | None) -> Any:
    assert module is not None  # the settings are checked: flush.sinks names nothing but sinks
    return import_module(module)


def make_registration(config: Config, health: Callable[[], str | None]) -> Registration | None:
    """`health` is called on the registration's thread: why this node is not ready, or None."""
    if not config.consul.address:
        return None
    from quorate.cluster.discovery.registration import Registration, ServiceIdentity

    raft_address = str(config.raft_address())
    identity = ServiceIdentity(config.node.id, config.node.cluster, config.http.url, raft_address, __version__)
    return Registration(config.consul, identity, health=health)


def make_backups(
    config: Config, replica: Replica, confirm: Callable[[float], Coroutine[Any, Any, None]]
) -> BackupSchedule | None:
    """None if no schedule is set. `confirm`: see `BackupSchedule`."""
    if not config.backup.schedule:
        return None
    from quorate.backup.scheduled import BackupSchedule

    return BackupSchedule(replica, _backup_store(config), config.backup, confirm=confirm)


def _backup_store(config: Config) -> BackupStore:
    if config.backup.in_s3:
        return make_s3_store(config.backup.to, config.backup.s3_endpoint, config.node.data)
    from quorate.backup.store import FolderStore

    return FolderStore(config.backup.to)


def make_s3_store(place: str, endpoint: str, scratch: str) -> S3Store:
    """`place` is s3://BUCKET/PREFIX. Raises `ConfigError` if the library is not installed."""
    try:
        from quorate.backup.s3_store import S3Store
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("boto3", "botocore"):
            raise
        raise ConfigError(f"{place} needs the extra s3: pip install 'quorate[s3]', or use a file") from None
    return S3Store(place, endpoint, scratch)


def make_tracer(config: Config) -> OtelTracer | None:
    """Raises `ConfigError` if traces are wanted and their libraries are not installed."""
    if not config.traces.url:
        return None
    try:
        from quorate.otel_traces import OtelTracer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise ConfigError(
            "traces.url needs the extra otel: pip install 'quorate[otel]', or leave traces.url empty"
        ) from None
    return OtelTracer(config)
