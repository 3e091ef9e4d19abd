"""The rows of the table: a system, a way to count votes in it, and what its clients do without an answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.elsewhere import etcd_doors, peers, quorate_doors
from bench.elsewhere.doors import OPTIONS, VoteDoor
from bench.elsewhere.etcd_cluster import EtcdCluster
from bench.elsewhere.redis_cluster import RedisCluster
from quorate import __version__
from quorate.chaos.cluster import ChaosCluster

ADVISED = "min-replicas-to-write 1\nmin-replicas-max-lag 10\n"  # Redis' documentation advises it against lost writes
SIZE = 3


def _nothing(cluster: Any, polls: Sequence[str]) -> None:
    """The system needs no polls to be made."""


@dataclass(frozen=True, slots=True)
class ComparedWay:
    """`open` makes the cluster; it starts as a context. `resends`: see `PeerClients`."""

    name: str
    about: str
    program: str  # that must be on PATH; empty: ours
    resends: bool
    open: Callable[[Path, int], Any]
    door: Callable[[Any, int, random.Random], VoteDoor]
    prepare: Callable[[Any, Sequence[str]], None] = _nothing

    def missing(self) -> str | None:
        without = peers.missing(self.program) if self.program else None
        return without or (peers.missing_redis_py() if self.program == "redis-server" else None)

    def version(self) -> str:
        if not self.program:
            return f"Quorate {__version__}"
        more = f", redis-py {metadata.version('redis')}" if self.program == "redis-server" else ""
        return f"{peers.first_line(self.program)}{more}"


def _etcd(folder: Path, seed: int) -> EtcdCluster:
    return EtcdCluster(folder, SIZE, seed=seed)


def _redis(folder: Path, seed: int) -> RedisCluster:
    return RedisCluster(folder, SIZE, seed=seed)


def _careful_redis(folder: Path, seed: int) -> RedisCluster:
    return RedisCluster(folder, SIZE, seed=seed, more=ADVISED)


def _quorate(folder: Path, seed: int) -> ChaosCluster:
    return ChaosCluster(folder, SIZE, seed=seed)


def _redis_door(way: str) -> Callable[[Any, int, random.Random], VoteDoor]:
    """redis-py is not among the tools of this repository: without it the other rows can be run."""

    def door(cluster: Any, home: int, chance: random.Random) -> VoteDoor:
        from bench.elsewhere import redis_doors

        made: VoteDoor = getattr(redis_doors, way)(cluster)
        return made

    return door


def _make_polls(cluster: ChaosCluster, polls: Sequence[str]) -> None:
    quorate_doors.make_polls(cluster, polls, OPTIONS)


WAYS: Sequence[ComparedWay] = (
    ComparedWay(
        "quorate", "Quorate, one vote with an id a request", "", True, _quorate, quorate_doors.QuorateDoor, _make_polls
    ),
    ComparedWay(
        "etcd-swap",
        "etcd, compare and swap of the counter, once more without an answer",
        "etcd",
        True,
        _etcd,
        etcd_doors.CompareAndSwap,
    ),
    ComparedWay(
        "etcd-id", "etcd, the same with the vote's id in the transaction", "etcd", True, _etcd, etcd_doors.KeyedById
    ),
    ComparedWay(
        "etcd-keys", "etcd, a key for each vote, which are counted by reads", "etcd", True, _etcd, etcd_doors.KeyOfEach
    ),
    ComparedWay(
        "redis-incr",
        "Redis, INCR, redis-py's own retries",
        "redis-server",
        False,
        _redis,
        _redis_door("Incr"),
    ),
    ComparedWay(
        "redis-wait",
        "Redis, INCR and WAIT 1, redis-py's own retries",
        "redis-server",
        False,
        _redis,
        _redis_door("IncrAndWait"),
    ),
    ComparedWay(
        "redis-id",
        "Redis, a script that knows ids, WAIT 1 and min-replicas-to-write 1, once more without an answer",
        "redis-server",
        True,
        _careful_redis,
        _redis_door("ScriptById"),
    ),
)
