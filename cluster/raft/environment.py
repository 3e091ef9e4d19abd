"""A replica's settings, and its surroundings: data directory, disk threads, network, randomness and clocks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from quorate.cluster.entry import FEATURE_LEVEL
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.storage.directory import NodeIdentity
from quorate.cluster.raft.storage.files import Files
from quorate.cluster.raft.storage.journal import SEGMENT_BYTES
from quorate.cluster.raft.storage.spare_descriptors import USED_UP
from quorate.cluster.raft.storage.writer import ThreadWriter, Writer
from quorate.cluster.raft.ticker import TICK_S
from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.raft.transport.transport import Listener, PeerTransport
from quorate.errors import DataError

T = TypeVar("T")

KEEP_BYTES = 8 * 1024 * 1024  # of log behind a snapshot, so that a short absence needs no snapshot


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """The settings of a replica. `peers` maps node ids to host:port, this node's own included."""

    node_id: str
    cluster_name: str
    listen: Sequence[tuple[str, int]]
    peers: Mapping[str, str]
    http: str
    credentials: Credentials
    bootstrap: bool
    timing: ElectionTiming
    snapshot_bytes: int
    dedup_window: int
    keep_bytes: int = KEEP_BYTES
    segment_bytes: int = SEGMENT_BYTES
    feature_level: int = FEATURE_LEVEL  # of this program; tests let it be an older one


class Directory(Protocol):
    """The part of a data directory that a replica uses. `directory.DataDirectory` is the one on disk."""

    @property
    def files(self) -> Files: ...

    @property
    def identity(self) -> NodeIdentity: ...

    def save_identity(
        self, *, cluster_id: str | None, members: dict[str, str] | None, incarnation: str | None = None
    ) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Environment:
    """Disk threads, network, randomness, clocks, ticks. A simulation replaces them, and runs on a loop of its own."""

    writer: Callable[[str], Writer] = lambda name: ThreadWriter(asyncio.get_running_loop(), name=name)
    transport: Callable[[str, Listener, Credentials], PeerTransport] = PeerTransport
    rng: random.Random = field(default_factory=random.SystemRandom)
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    tick_s: float = TICK_S


def without_system_calls(rng: random.Random) -> random.Random:
    """For draws that keep no secret, as election timeouts: a follower draws one at each message of its leader."""
    return random.Random(rng.getrandbits(128)) if isinstance(rng, random.SystemRandom) else rng


async def blocking(call: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Run a blocking call on a thread of the loop's. A simulation's loop runs it at once."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(call, *arguments, **named))


def in_words(error: BaseException, where: str) -> BaseException:
    """Make an error that stopped a replica readable: the system's own error says neither where nor what to do."""
    if not isinstance(error, OSError):
        return error
    if error.errno in USED_UP:
        return DataError(
            f"no file could be opened under {where}: {error.strerror}. The disk is well: let this program have more "
            "files open (ulimit -n, LimitNOFILE) and start again"
        )
    return DataError(
        f"the disk under {where} failed: {error.strerror or error}. What was acknowledged is on it; "
        "make room, or replace the disk, and start again"
    )
