"""Every nemesis is begun and ended once on a real cluster, while clients vote. In the end everything is exact."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses.all import ALL, FAMILIES, usable
from quorate.chaos.nemeses.nemesis import ActiveFault, NotNow
from quorate.chaos.preload import found_library, working_preload
from quorate.exit_code import REMOVED
from quorate.processes.node import NodeProcess
from tests.support.history import History
from tests.support.verdict import assert_exact
from tests.support.voters import Voters, sends
from tests.system.faults import OPTIONS, votes

ATTEMPTS = 60  # of clients, while a fault is active: answered or not
HEAL_EVERY = 6
HEAL_S = 30.0  # far more than a node with an empty disk needs, on a busy machine too
SEED = 13
OF_NODES = [family for family in FAMILIES if family not in ("services", "programs")]  # see test_chaos.py


class Beset:
    """A cluster of five under load."""

    def __init__(self, cluster: ChaosCluster) -> None:
        self.cluster, self.rng = cluster, random.Random(SEED)
        supply = votes(200_000)
        self.history = History(supply)
        order = sends(supply, twice=0.03, seed=SEED, within=10_000)
        self.voters = Voters(cluster.urls, self.history, order, clients=8, seed=SEED, goal=1)

    def strike(self, name: str) -> None:
        fault = self.cluster.wait_for(f"{name} can begin", lambda: self.begin(name))
        try:
            assert fault.victims
            assert fault.words
            tried = self.history.attempts.total()
            self.cluster.wait_for(
                "clients try", lambda: not self.voters.voting or self.history.attempts.total() > tried + ATTEMPTS
            )
        finally:
            fault.end()
            fault.end()

    def begin(self, name: str) -> ActiveFault | None:
        try:
            return ALL[name].begin(self.cluster, self.rng)
        except NotNow:  # there is no snapshot yet, say
            return None

    def finish(self) -> None:
        self.cluster.heal()
        self.voters.enough()
        self.voters.finish()
        self.history.keep(self.voters.begun)
        assert_exact(self.cluster, "mood", self.history)


@pytest.mark.parametrize("family", OF_NODES)
def test_each_nemesis_of_a_family_begins_and_ends_and_votes_stay_exact(family: str, tmp_path: Path) -> None:
    preload, _ = working_preload(found_library())  # as a run has it
    cluster = ChaosCluster(tmp_path, 5, {"raft.snapshot_bytes": 131_072}, preload=preload)
    for node in cluster.nodes:
        cluster.victims.begin(node.folder, keep_bytes=65_536)
    with cluster, cluster.client() as client:
        client.create_poll("mood", OPTIONS)
        names, missing = usable(cluster, [nemesis.name for nemesis in FAMILIES[family]])
        assert {} == missing
        beset = Beset(cluster)
        beset.voters.start()
        for number, name in enumerate(names, 1):
            beset.strike(name)
            if number % HEAL_EVERY == 0:
                cluster.heal()
        beset.finish()
        assert (set(), set(), set(), set()) == (
            cluster.down(),
            cluster.paused(),
            cluster.cut_off(),
            cluster.harmed(),
        )


def test_what_happens_by_luck_alone_is_brought_about_on_purpose(tmp_path: Path) -> None:
    with ChaosCluster(tmp_path, 3) as cluster, cluster.client() as client:
        client.create_poll("mood", OPTIONS)
        beset = Beset(cluster)
        beset.voters.start()
        old = cluster.leader()
        beset.strike("leader-paused-in-flush")
        assert cluster.leader() is not old
        cluster.wait_for("what the old leader wrote late is refused", lambda: refused_flushes(old) > 0)
        cluster.heal()
        beset.strike("partition-late-snapshot")
        assert 1 == sum(node.get("/status")["raft"]["snapshots_received"] for node in cluster.nodes)
        beset.finish()


def test_a_node_without_a_snapshot_is_not_killed_for_it(tmp_path: Path) -> None:
    """Asked fifty times a second, as above, it kept a busy cluster from counting what a snapshot needs."""
    with ChaosCluster(tmp_path, 3) as cluster:
        pids = [node.pid for node in cluster.nodes]
        with pytest.raises(NotNow, match="there is no snapshot"):
            ALL["truncated-snapshot"].begin(cluster, random.Random(SEED))
        assert pids == [node.pid for node in cluster.nodes]


def test_a_node_is_removed_only_while_the_others_are_a_majority(tmp_path: Path) -> None:
    """The removal waited for a node that was paused, was given up after ten seconds, and came true later."""
    with ChaosCluster(tmp_path, 3) as cluster:
        leader = cluster.leader()
        cluster.pause([next(node for node in cluster.nodes if node is not leader)])
        with pytest.raises(NotNow, match="cannot do without"):
            ALL["remove-node"].begin(cluster, random.Random(SEED))
        assert set() == cluster.harmed()


def test_a_node_that_was_removed_after_all_is_brought_back(tmp_path: Path) -> None:
    """A removal that was given up may yet come true. Its node ended with each start, and no run got its verdict."""
    with ChaosCluster(tmp_path, 3) as cluster, cluster.client() as client:
        gone = next(node for node in cluster.nodes if node is not cluster.leader())
        client.change_members("remove", gone.id)
        cluster.wait_for("it ends", lambda: gone.exit_status == REMOVED)
        cluster.heal(HEAL_S)
        assert {node.id for node in cluster.nodes} == {member["id"] for member in client.cluster_members()}


def refused_flushes(node: NodeProcess) -> int:
    refused: int = node.get("/status")["sinks"]["sqlite"]["documents"]["newer"]
    return refused
