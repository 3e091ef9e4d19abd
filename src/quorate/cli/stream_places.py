"""Where a stream's positions are kept, and which shard of the options it reads: in a file, or held in Consul."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quorate.cli.stream_options import StreamOptions
from quorate.errors import ConfigError

if TYPE_CHECKING:
    from quorate.ingest.social.places import PlacesKeeper
    from quorate.ingest.social.shard import Shard


@dataclass(frozen=True, slots=True)
class HeldPlaces:
    """`check` raises `Conflict` when they are held no more."""

    keeper: PlacesKeeper
    shard: Shard
    check: Callable[[], None] = lambda: None


@contextlib.contextmanager
def held_places(name: str, options: StreamOptions) -> Iterator[HeldPlaces]:
    """With `stream.shards` this waits until a shard is free. Raises `Conflict` where another command holds them."""
    from quorate.ingest.social.places import PlacesFile
    from quorate.ingest.social.shard import Shard, read_shard

    stream, consul = options.config.stream, options.config.consul
    if stream.shards:
        if stream.shard or not consul.address:
            why = "give one of them" if stream.shard else "it needs --consul (consul.address)"
            raise ConfigError(f"stream.shards takes a shard in Consul: {why}")
        from quorate.ingest.social.shard_lease import ShardLease

        with contextlib.closing(ShardLease.take(consul, name, stream.shards)) as lease:
            yield HeldPlaces(lease, lease.shard, lease.check)
        return
    shard = read_shard(stream.shard) if stream.shard else Shard()
    with PlacesFile.held(f"{name} shard {shard}" if shard.of > 1 else name, options.state) as file:
        yield HeldPlaces(file, shard)
