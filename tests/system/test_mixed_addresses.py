"""Nodes of 0.1.0 and of this version in one cluster, some of which move to other ports."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from quorate.processes.node import NodeProcess
from quorate.processes.ports import free_ports
from quorate.vote import Vote
from tests.system.old_version import NEW, Version, client_of, cluster_of
from tests.system.test_mixed_versions import make_leader

pytestmark = pytest.mark.timeout(300)


def has_in_log(node: NodeProcess, id: str, address: str) -> bool | None:
    shown = node.get("/members") or {"members": []}
    return {"id": id, "raft": address} in [{"id": m["id"], "raft": m["raft"]} for m in shown["members"]] or None


@pytest.mark.parametrize("leader_id", ["n1", "n3"])
def test_a_node_of_this_version_moves_beside_nodes_of_0_1_0(old: Version, leader_id: str, tmp_path: Path) -> None:
    """n1 is the old one. An old leader keeps the log's address and is dialled; a new one writes down where n2 is, in an
    entry that the old one reads. Nobody's settings are changed."""
    with cluster_of([old, NEW, NEW], tmp_path) as cluster:
        n1, n2, n3 = cluster.nodes
        make_leader(cluster, cluster[leader_id])
        n2.stop()
        address = f"127.0.0.1:{free_ports(1)[0]}"
        was = str(n2.place.raft)
        config = n2.config.read_text()
        assert was in config
        n2.config.write_text(config.replace(was, address))
        n2.start()
        cluster.wait_ready()
        cluster.wait_whole()
        if leader_id == "n1":
            make_leader(cluster, n3)
        for node in cluster.nodes:
            cluster.wait_for(f"{node.id} has it in its log", partial(has_in_log, node, "n2", address))
        n3.kill()
        with client_of(n1) as client:
            client.vote(Vote("happy", id="the old one and the moved one are a majority"))
        for node in (n1, n2):
            node.kill()
            node.start()
        cluster.wait_ready([n1, n2])
        n3.start()
        cluster.wait_ready()
        cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))


def test_a_node_of_0_1_0_that_moves_is_found_while_one_peer_is_where_it_was(old: Version, tmp_path: Path) -> None:
    """It tells nothing, so the log keeps its old address; it dials the others."""
    with cluster_of([NEW, NEW, old], tmp_path) as cluster:
        n3 = cluster.nodes[2]
        n3.stop()
        address = f"127.0.0.1:{free_ports(1)[0]}"
        n3.config.write_text(n3.config.read_text().replace(str(n3.place.raft), address))
        n3.start()
        cluster.wait_ready()
        cluster.wait_whole()
        with client_of(n3) as client:
            client.vote(Vote("happy", id="taken"))
        shown = {m["id"]: m["raft"] for m in cluster.nodes[0].get("/members")["members"]}
        assert str(n3.place.raft) == shown["n3"]
