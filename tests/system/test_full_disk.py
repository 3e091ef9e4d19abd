"""A node whose disk is full stops and says why. The other nodes go on. With free space it goes on too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster
from tests.support.history import History
from tests.support.verdict import assert_exact
from tests.support.voters import Voters, sends
from tests.system import faults
from tests.system.small_disk import CannotMount, SmallDisk

VOTES = 6_000
CROWD = [f"{i:0200}" for i in range(10_000)]  # two megabytes, because the log has one megabyte of zeros allocated ahead
DISK_MEGABYTES = 12


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[dict[str, SmallDisk]]:
    """A disk for each node, by node id."""
    with ExitStack() as mounted:
        disks = {}
        for node_id in ("n1", "n2", "n3"):
            try:
                disks[node_id] = SmallDisk(tmp_path / f"disk-{node_id}", DISK_MEGABYTES)
            except CannotMount as why:
                pytest.skip(f"no small disk can be mounted here: {why}")
            mounted.callback(disks[node_id].close)
        yield disks


@pytest.fixture
def cluster(tmp_path: Path, disks: dict[str, SmallDisk]) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    for node in cluster.nodes:
        node.settings["node.data"] = str(disks[node.id].path)
    with cluster, cluster.client() as client:
        client.create_poll("mood", faults.OPTIONS)
        yield cluster


@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_full_disk_stops_its_node_in_words_and_nobody_else(
    role: str, cluster: Cluster, disks: dict[str, SmallDisk]
) -> None:
    history = History(faults.votes(VOTES))
    voters = Voters(cluster.urls, history, sends(history.votes, seed=4), seed=4)
    voters.start()
    voters.wait_until(0.2)
    victim = cluster.leader() if role == "leader" else cluster.followers()[0]
    disk = disks[victim.id]
    disk.fill()
    assert 0 == disk.free_bytes()
    with cluster.client() as client:
        client.create_poll("crowd", CROWD)
        assert 1 == victim.ended(deadline_s=30)
        assert_said_why(victim, disk)
        assert client.create_poll("afterwards", ["yes", "no"]), "the others did not go on"
    voters.finish()
    assert [victim.id] == [node.id for node in cluster.nodes if not node.running]

    disk.make_room()
    victim.start()
    victim.wait_ready()
    assert_exact(cluster, "mood", history)
    assert cluster.results("afterwards") is not None


def assert_said_why(node: NodeProcess, disk: SmallDisk) -> None:
    last = node.output().splitlines()[-1]
    assert f"{node.id} stopped itself: the disk under {disk.path} failed: No space left on device" in last
    assert "make room" in last
