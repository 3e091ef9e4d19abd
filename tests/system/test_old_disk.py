"""An old copy of a data folder is put back: the node says so, its disk does not count, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

from quorate.processes.node import NodeProcess
from tests.support import data_folder
from tests.support.cluster import Cluster


def _forgotten(node: NodeProcess) -> str | None:
    status = node.get("/status")
    return status["raft"]["forgotten"] if status else None


def test_an_old_copy_is_found_out_after_all_nodes_died_and_is_replaced(cluster: Cluster, tmp_path: Path) -> None:
    cluster.cast("before", 20)
    node = cluster.followers()[0]
    node.stop()
    data_folder.copy(node.folder, tmp_path / "copy")
    node.start()
    cluster.wait_whole()
    cluster.cast("after", 20)
    since_s = time.time()
    cluster.cast("later", 20)
    others = [each for each in cluster.nodes if each is not node]
    cluster.wait_for("the others remember it on their disks", lambda: all(_remembers(each, since_s) for each in others))
    for each in cluster.nodes:
        each.kill()
    data_folder.put_back(tmp_path / "copy", node.folder)
    for each in cluster.nodes:
        each.start()
    words = cluster.wait_for(f"{node.id} finds out", lambda: _forgotten(node))
    assert f"quorate members replace {node.id}" in words
    assert not node.is_ready()
    cluster.wait_ready([each for each in cluster.nodes if each is not node])
    assert f"{node.id} refuses this node" in "".join(each.output() for each in cluster.nodes if each is not node)
    assert cluster.leader() is not node
    with cluster.client() as client:
        client.change_members("replace", node.id)
    cluster.wait_ready()
    assert _forgotten(node) is None
    cluster.cast("last", 5)
    cluster.wait_whole()
    for each in cluster.nodes:
        results = cluster.wait_for(each.id, lambda each=each: each.get("/polls/mood/results?level=none"))  # type: ignore[misc]
        assert 65 == results["total"], each.id


def _remembers(node: NodeProcess, since_s: float) -> bool:
    """What a node knows of its peers is on its disk a moment after they tell it."""
    return any(file.stat().st_mtime > since_s for file in node.folder.rglob("peers.seen"))
