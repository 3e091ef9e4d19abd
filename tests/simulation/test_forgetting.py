"""The leader has the cluster forget deleted polls: on every node at one version, whoever leads by then."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CreatePoll, DeletePoll
from quorate.cluster.flush.deletions import Deletions
from quorate.cluster.state import tombstones
from quorate.vote import Vote
from tests.simulation.cluster import SimCluster, virtual_time

POLL = CreatePoll("gone", "", ["a", "b"], "draft", None, False)
OTHER = CreatePoll("mood", "", ["happy", "sad"], "open", None, False)


def watch(cluster: SimCluster) -> None:
    """As every node does whose sinks take no polls in."""
    for name in cluster.up():
        replica = cluster.nodes[name].replica
        assert replica is not None
        Deletions(replica, []).start()


async def scenario(*, kill: bool) -> None:
    cluster = SimCluster(1, "abc")
    for name in cluster.names:
        await cluster.start(name)
    watch(cluster)
    await cluster.until(cluster.leader, 20, "a leader")
    replicas = [cluster.nodes[name].replica for name in cluster.names]
    await cluster.until(lambda: all(r is not None and r.state.level for r in replicas), 20, "the level")
    leader = cluster.leader()
    assert leader is not None
    submitter = cluster.nodes[leader].submitter
    assert submitter is not None
    await submitter.command(entry.SetDedupWindow(3), timeout_s=5)
    for command in (OTHER, POLL, DeletePoll("gone", None)):
        await submitter.command(command, timeout_s=5)
    if kill:
        cluster.crash(leader)
        await cluster.until(cluster.leader, 20, "another leader")
    leader = cluster.leader()
    assert leader is not None
    submitter = cluster.nodes[leader].submitter
    assert submitter is not None

    def stones() -> list[int]:
        return [len(r.state.tombstones()) for name in cluster.up() if (r := cluster.nodes[name].replica) is not None]

    assert 1 == max(stones())
    for number in range(6):  # entries, at each of which the leader may look
        await submitter.cast([Vote("happy", f"v{number}")], timeout_s=5)
        await asyncio.sleep(0.6)
    await cluster.until(lambda: not any(stones()), 20, "all have forgotten it")
    await submitter.create_poll(POLL, timeout_s=5)
    state = cluster.nodes[leader].replica.state  # type: ignore[union-attr]
    view = state.poll("gone")
    assert view is not None
    assert (False, True) == (view.again, view.since_ms > 0)
    assert [] == cluster.broken
    for name in cluster.up():
        await cluster.nodes[name].replica.stop()  # type: ignore[union-attr]


@pytest.mark.parametrize("kill", [False, True])
def test_a_deleted_poll_is_forgotten_on_every_node(kill: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tombstones, "KEPT_MS", 100)
    with virtual_time() as runner:
        runner.run(scenario(kill=kill))
