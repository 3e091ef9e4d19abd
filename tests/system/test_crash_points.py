"""A node dies at every crash point, one after the other, while clients vote. In the end everything is exact.

Some points are come to by any node under load, others only when something happens that the test brings about.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.repair import bring_back, empty
from quorate.client.http import JsonClient
from quorate.crash_points import POINTS, Point
from quorate.errors import QuorateError
from quorate.processes.node import NodeProcess
from tests.support.history import History
from tests.support.verdict import assert_exact
from tests.support.voters import Voters, sends
from tests.system.faults import OPTIONS, votes

SMALL = {"raft.snapshot_bytes": 65_536, "votes.dedup_window": 100_000}
SEED = 6
DIES_S = 30.0
WITHOUT_VOTES: Point = "close-proposed"  # an entry of votes closes what is due, so nobody needs to propose it
NOT_HERE: set[Point] = {"import-before-note"}  # only with a sink that imports: see test_imports.py
ON_AN_EMPTY_DISK: set[Point] = {
    "identity-before-rename",
    "identity-after-rename",
    "snapshot-piece-received",
    "snapshot-received",
    "install-before-reset",
    "install-before-state",
    "log-replaced-before-remove",
}
OF_AN_ELECTION: set[Point] = {
    "candidacy-before-write",
    "ballot-before-write",
    "ballot-before-send",
    "leader-elected",
    "handover-asked",
}
# Nobody but a leader comes there, or nobody but a follower, whoever that is by then; so all are armed.
OF_A_LEADER: set[Point] = {
    "snapshot-piece-before-send",
    "entries-sent-before-write",
    "commit-before-announce",
    "members-proposed",
    "batch-proposed",
    "forwarded-batch-proposed",
    "forwarded-batch-before-answer",
    "close-proposed",
    "flush-before-write",
    "flush-before-note",
}
OF_A_FOLLOWER: set[Point] = {"entries-before-store", "promise-before-send", "batch-forwarded"}


class Stage(NamedTuple):
    """Who may die, and what must happen for it."""

    armed: list[NodeProcess]
    happens: Callable[[], object]
    again: Callable[[], object] = lambda: None  # until a node is dead


class Script:
    def __init__(self, cluster: ChaosCluster) -> None:
        self.cluster = cluster

    def stage(self, point: Point) -> Stage:
        every, leader = self.cluster.nodes, self.cluster.leader()
        follower = next(node for node in every if node is not leader)
        if point in ON_AN_EMPTY_DISK:
            return Stage([follower], lambda: self.lose_disk(follower))
        if point == "snapshot-piece-before-send":
            return Stage(every, lambda: self.lose_disk(follower))
        if point in OF_AN_ELECTION:
            return Stage(every, self.hand_over, self.hand_over)
        if point.startswith("members-"):
            return Stage(every if point in OF_A_LEADER else [follower], self.change_members, self.change_members)
        if point == "session-opened":
            return Stage([follower], lambda: self.alone(follower).open_producer("p1"))
        if point == "close-proposed":
            return Stage(every, lambda: self.close_soon(follower))
        some = every if point in OF_A_LEADER or point in OF_A_FOLLOWER else [leader]
        return Stage(some, self.vote_everywhere, self.vote_everywhere)

    def vote_everywhere(self) -> None:
        """The clients may all have gone to one node."""
        for node in self.cluster.nodes:
            with contextlib.suppress(OSError):
                node.ask("POST", "/votes", b'{"option": "a", "poll": "aside"}')

    def hand_over(self) -> None:
        """Again and again: a leader may have no follower yet that has its whole log, or another one leads by then."""
        with contextlib.suppress(OSError):
            if (leader := self.cluster.leader_now()) is not None:
                leader.ask("POST", "/leader/transfer")

    def alone(self, node: NodeProcess) -> JsonClient:
        return JsonClient([node.url], timeout_s=2)

    def lose_disk(self, node: NodeProcess) -> None:
        self.cluster.kill([node])
        empty(node.folder)
        node.start()

    def change_members(self) -> None:
        with contextlib.suppress(QuorateError, OSError), self.cluster.client(2) as client:
            known = {member["id"] for member in client.cluster_members()}
            client.change_members(*(("remove", "n9") if "n9" in known else ("add", "n9", "127.0.0.1:1")))

    def close_soon(self, node: NodeProcess) -> None:
        with self.alone(node) as client:
            client.create_poll("soon", ["a", "b"], closes_at=datetime.now(UTC) + timedelta(seconds=1))


def die_at(cluster: ChaosCluster, script: Script, point: Point) -> None:
    armed, happens, again = script.stage(point)
    for node in armed:
        cluster.victims.crash(node.folder, point)
    with contextlib.suppress(QuorateError, OSError):
        happens()
    cluster.wait_for(f"a node dies at {point}", lambda: any(not n.running for n in armed) or again(), deadline_s=DIES_S)
    for node in armed:
        cluster.victims.take_back(node.folder, "crash")
    dead = [node for node in armed if not node.running]
    assert {-signal.SIGKILL} == {node.exit_status for node in dead}, cluster.seen()
    cluster.start_again(cluster.nodes)
    for node in cluster.nodes:
        assert bring_back(cluster, node), node.tail()
    print(f"{point}: {[node.id for node in dead]}", flush=True)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ChaosCluster]:
    cluster = ChaosCluster(tmp_path, 3, SMALL)
    for node in cluster.nodes:
        cluster.victims.begin(node.folder, keep_bytes=8_192, segment_bytes=32_768)
    with cluster:
        yield cluster


@pytest.mark.timeout(400)
def test_a_node_may_die_at_every_crash_point_and_every_vote_counts_once(cluster: ChaosCluster) -> None:
    supply = votes(400_000)
    history, script = History(supply), Script(cluster)
    with cluster.client() as client:
        client.create_poll("mood", OPTIONS)
        client.create_poll("aside", ["a", "b"])
    order = sends(supply, twice=0.03, seed=SEED, within=10_000)
    voters = Voters(cluster.urls, history, order, clients=8, seed=SEED, goal=1)
    die_at(cluster, script, WITHOUT_VOTES)
    voters.start()
    for point in POINTS:
        if point not in (*NOT_HERE, WITHOUT_VOTES):
            die_at(cluster, script, point)
    cluster.heal()
    voters.enough()
    voters.finish()
    history.keep(voters.begun)
    assert_exact(cluster, "mood", history)
