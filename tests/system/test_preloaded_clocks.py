"""libfaketime in real nodes: the clock of the whole process jumps, and only that. Skipped where it is not installed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from quorate.chaos.clock_file import SHARED
from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.preload import found_library, working_preload
from quorate.processes.node import NodeProcess
from quorate.vote import Vote

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosCluster]:
    preload, why_not = working_preload(found_library())
    if preload is None:
        pytest.skip(f"no clock of a whole process can be moved: {why_not}")
    with ChaosCluster(tmp_path_factory.mktemp("clocks"), 3, preload=preload) as cluster, cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        yield cluster


def ahead_s(node: NodeProcess) -> float:
    """By the date of an answer, which the node does not ask its seam for."""
    _, _, headers = node.ask("GET", "/livez")
    return parsedate_to_datetime(headers["date"]).timestamp() - time.time()


def test_a_clock_jumps_stays_so_over_a_kill_and_comes_back(cluster: ChaosCluster) -> None:
    node, *others = cluster.nodes
    cluster.victims.order(node.folder, ahead_s=DAY_S)
    cluster.wait_for("its clock jumps", lambda: abs(ahead_s(node) - DAY_S) < 60)
    assert all(abs(ahead_s(other)) < 60 for other in others)
    cluster.kill([node])
    cluster.start_again([node])
    cluster.wait_ready()
    assert abs(ahead_s(node) - DAY_S) < 60
    cluster.victims.take_back(node.folder, "ahead_s")
    cluster.wait_for("its clock is right", lambda: abs(ahead_s(node)) < 60)


def test_all_clocks_jump_and_votes_are_counted_once_and_the_leader_stays(cluster: ChaosCluster) -> None:
    """A monotonic clock that moved would end leaderships and waits."""
    leader = cluster.leader()
    term = leader.get("/status")["raft"]["term"]
    with cluster.client() as client:
        for number, jump_s in enumerate((DAY_S, -DAY_S, 30.0, 0.0)):
            for node in cluster.nodes:
                cluster.victims.order(node.folder, ahead_s=jump_s)
            cluster.wait_for("all jump", lambda: all(abs(ahead_s(n) - jump_s) < 20 for n in cluster.nodes))  # noqa: B023
            client.vote(Vote("happy", poll="mood", id=f"v{number}"))
            client.vote(Vote("happy", poll="mood", id="v0"))
        assert 4 == client.results("mood")["total"]
    assert (leader, term) == (cluster.leader(), leader.get("/status")["raft"]["term"])


def test_nodes_that_are_killed_leave_nothing_in_shared_memory(cluster: ChaosCluster) -> None:
    pids = [node.pid for node in cluster.nodes]
    cluster.kill(cluster.nodes)
    assert not left(pids)
    cluster.start_again(cluster.nodes)  # and killed before they run our code
    pids = [node.pid for node in cluster.nodes]
    cluster.close()
    assert not left(pids)


def left(pids: Sequence[int | None]) -> list[Path]:
    return [path for path in SHARED.glob("*faketime*") if path.name.rpartition("_")[2] in map(str, pids)]
