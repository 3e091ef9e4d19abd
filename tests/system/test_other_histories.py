"""A node of a cloned cluster, as a copied disk or a virtual machine makes one, does not get into the first cluster."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from quorate.vote import Vote
from tests.support.cluster import Cluster

VOTES = 20


def run_alone(cluster: Cluster, name: str) -> None:
    """Start all nodes on the folders that are in place, cast votes, and stop them."""
    cluster.start()
    with cluster.client() as client:
        for number in range(VOTES):
            client.vote(Vote("happy", id=f"{name}-{number}"))
    cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
    cluster.stop()


def test_a_node_of_a_cloned_cluster_is_refused_by_name(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        cluster.stop()
        shutil.copytree(tmp_path / "cluster", tmp_path / "clone")
        run_alone(cluster, "ours")
        ours, clone = cluster.nodes[:2], cluster.nodes[2]
        (tmp_path / "cluster").rename(tmp_path / "first")
        (tmp_path / "clone").rename(tmp_path / "cluster")
        run_alone(cluster, "other")
        for node in ours:
            shutil.rmtree(node.folder)
            shutil.copytree(tmp_path / "first" / node.id, node.folder)
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready(ours)
        cluster.wait_for("it is told", lambda: "has another history" in clone.ask("GET", "/readyz?verbose")[1].decode())
        assert not clone.is_ready()
        with cluster.client() as client:
            client.vote(Vote("sad", id="after"))
        for node in ours:
            shown = node.get("/polls/mood/results?level=linearizable")
            assert {"happy": VOTES, "sad": 1} == shown["results"]
            assert [clone.id] == list(node.get("/status")["raft"]["other_histories"])
            said = f"{clone.id} has another history than {node.id}"
            cluster.wait_for("its log says so", partial(lambda node, said: said in node.output(), node, said))
