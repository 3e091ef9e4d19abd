"""Ways to count votes in Redis, with redis-py and Sentinel, which finds the primary.

`redis.Redis()` sends a command again up to ten times when its connection is lost or no answer comes within five
seconds, by default, and `INCR` is no exception. `Sentinel.master_for()` makes a client without these retries; ours is
given the same ones, and the same five seconds, as one connected to an address has.

- `Incr`: `INCR`, and nothing else.
- `IncrAndWait`: `INCR` and `WAIT 1 1000` in one pipeline. If no replica has confirmed it, the outcome is unknown.
- `ScriptById`: a script that notes the vote's id and increments only if it is new, then `WAIT 1 1000`. Whoever gets no
  answer sends it again.

Reads go to the primary.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from bench.elsewhere.doors import OPTIONS, ToldOfPoll, ToldOfVote
from bench.elsewhere.redis_cluster import HOST, SERVICE, RedisCluster
from quorate.chaos.history import SentVote

WAIT_MS = 1_000
SENTINEL_S = (
    0.5  # as short as the example of redis-py's documentation, or a sentinel that is gone would block each call
)
ONCE_BY_ID = """
if redis.call('SET', KEYS[2], 1, 'NX') then redis.call('INCR', KEYS[1]) return 1 end
return 0
"""


class DirectSentinel(Sentinel):
    """Clients reach each node directly: the relays are between the nodes only."""

    def __init__(self, cluster: RedisCluster) -> None:
        places = [(HOST, node.sentinel_port) for node in cluster.nodes]
        super().__init__(places, sentinel_kwargs={"socket_timeout": SENTINEL_S, "retry": None})
        self._direct: Mapping[int, int] = cluster.direct

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        _, port = await super().discover_master(service_name)
        return HOST, self._direct[int(port)]


def defaults() -> dict[str, Any]:
    """What `redis.Redis()` does about a lost connection and a late answer."""
    declared = inspect.signature(Redis.__init__).parameters
    names = ("retry", "socket_timeout", "socket_connect_timeout")
    return {name: copy.deepcopy(declared[name].default) for name in names}


class RedisDoor(ABC):
    def __init__(self, cluster: RedisCluster) -> None:
        self._sentinel = DirectSentinel(cluster)
        self._redis: Redis = self._sentinel.master_for(SERVICE, **defaults())

    @property
    def node(self) -> str:
        return "primary"

    def move(self) -> None:
        return  # Sentinel says where the primary is

    async def close(self) -> None:
        await self._redis.aclose()
        await self._sentinel.aclose()

    async def cast(self, vote: SentVote) -> ToldOfVote:
        try:
            return await self._cast(f"votes:{vote.poll}:{vote.option}", f"id:{vote.id}")
        except RedisError as error:
            return ToldOfVote("unknown", f"{type(error).__name__}: {error}"[:200])

    async def read(self, poll: str) -> ToldOfPoll:
        try:
            found = await self._redis.mget([f"votes:{poll}:{option}" for option in OPTIONS])
        except RedisError as error:
            return ToldOfPoll("fail", f"{type(error).__name__}: {error}"[:200])
        results = {option: int(value) for option, value in zip(OPTIONS, found, strict=True) if value}
        return ToldOfPoll("ok", results=results)

    @abstractmethod
    async def _cast(self, key: str, id_key: str) -> ToldOfVote: ...


class Incr(RedisDoor):
    async def _cast(self, key: str, id_key: str) -> ToldOfVote:
        await self._redis.incr(key)
        return ToldOfVote("ok")


class IncrAndWait(RedisDoor):
    async def _cast(self, key: str, id_key: str) -> ToldOfVote:
        async with self._redis.pipeline(transaction=False) as pipeline:
            _, confirmed = await pipeline.incr(key).wait(1, WAIT_MS).execute()
        return ToldOfVote("ok") if confirmed else ToldOfVote("unknown", "no replica confirmed it")


class ScriptById(RedisDoor):
    async def _cast(self, key: str, id_key: str) -> ToldOfVote:
        async with self._redis.pipeline(transaction=False) as pipeline:
            # What the script says is not told on: "not new" may be the answer to redis-py's own second attempt.
            _, confirmed = await pipeline.eval(ONCE_BY_ID, 2, key, id_key).wait(1, WAIT_MS).execute()
        return ToldOfVote("ok") if confirmed else ToldOfVote("unknown", "no replica confirmed it")
