"""A real replica that is a cluster of one, on a real disk and a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from quorate.cluster import entry
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.environment import ReplicaSettings
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.running import RunningReplica
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.transport.handshake.credentials import Credentials, shared_key
from tests.support.waiting import until


@asynccontextmanager
async def alone(
    tmp_path: Path, key: bytes | None, *, credentials: Credentials | None = None
) -> AsyncIterator[tuple[RaftReplica, int]]:
    """The node n1, which is a cluster of one and leads it, and its port."""
    halted: list[BaseException] = []
    settings = ReplicaSettings(
        node_id="n1",
        cluster_name="test",
        listen=[("127.0.0.1", 0)],
        peers={"n1": "127.0.0.1:1"},
        http="",
        credentials=credentials or shared_key(key),
        bootstrap=True,
        timing=ElectionTiming(0.1),
        dedup_window=1000,
        snapshot_bytes=1_000_000,
    )
    replica = RaftReplica(settings, DataDirectory.open(tmp_path, node_id="n1"), on_halt=halted.append)
    await replica.start()
    try:
        await until("it leads", lambda: replica.is_leader and replica.state.level == entry.FEATURE_LEVEL)
        yield replica, int(replica.transport.listening[0].rpartition(":")[2])
        assert [] == halted
    finally:
        await replica.stop()


def running(replica: RaftReplica) -> RunningReplica:
    assert replica._opened is not None
    return replica._opened
