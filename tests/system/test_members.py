"""Members are added, removed and replaced by commands while the cluster counts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate import exit_code
from quorate.client.http import JsonClient
from quorate.errors import QuorateError
from quorate.processes.node import NodeProcess
from quorate.vote import Vote
from tests.support import data_folder
from tests.support.cluster import Cluster
from tests.support.cut_cluster import CutCluster
from tests.support.newcomer import newcomer_of


def _voters(cluster: Cluster) -> set[str]:
    return {member["id"] for member in cluster.leader().get("/members")["members"] if member["voter"]}


def _is_voter(cluster: Cluster, node: NodeProcess) -> bool | None:
    return node.id in _voters(cluster) or None


def _raft(node: NodeProcess) -> dict[str, Any]:
    status = node.get("/status")
    return dict(status["raft"]) if status else {}


def test_a_node_joins_learns_and_votes_then_another_leaves_and_stops(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        cluster.cast("before", 50)
        newcomer = newcomer_of(cluster, "n4")
        cluster.nodes.append(newcomer)
        newcomer.start()
        with cluster.client() as client:
            client.change_members("add", "n4", newcomer.settings["raft.listen"])
        cluster.wait_for("n4 is a voter", lambda: "n4" in _voters(cluster) or None)
        leaving = cluster.leader()
        cluster.nodes.remove(leaving)
        try:
            with JsonClient([leaving.url], timeout_s=30) as client:
                assert leaving.id not in [member["id"] for member in client.change_members("remove", leaving.id)]
            cluster.wait_for(f"{leaving.id} stopped", lambda: not leaving.running or None)
            assert "removed from the cluster" in leaving.tail()
            assert exit_code.REMOVED == leaving.exit_status
        finally:
            leaving.close()
        assert {node.id for node in cluster.nodes} == _voters(cluster)
        cluster.cast("after", 50)
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert 100 == shown["results"]["happy"]


def test_a_member_that_is_removed_soon_after_the_forming_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    """It has told its peers of itself before the log named any member. Started again, it ends in the same way. It is
    asked itself, and it answers before it stops."""
    with Cluster(tmp_path) as cluster:
        leaving = cluster.followers()[0]
        with JsonClient([leaving.url], timeout_s=30) as client:
            assert leaving.id not in [member["id"] for member in client.change_members("remove", leaving.id)]
        for flags, code in [(None, exit_code.REMOVED), ([], exit_code.REMOVED), (["--removed-ok"], exit_code.DONE)]:
            if flags is not None:
                leaving.start(*flags)
            cluster.wait_for(f"{leaving.id} stopped", lambda: not leaving.running or None)
            assert (code, True) == (leaving.exit_status, "removed from the cluster" in leaving.tail())


@pytest.mark.parametrize("away", ["paused", "down"])
def test_a_member_that_is_away_when_it_is_removed_ends_when_it_returns(away: str, tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leaving = cluster.followers()[0]
        (leaving.pause if away == "paused" else leaving.kill)()
        others = [node.url for node in cluster.nodes if node is not leaving]
        with JsonClient(others, timeout_s=30) as client:
            client.change_members("remove", leaving.id)
        (leaving.resume if away == "paused" else leaving.start)()
        cluster.wait_for(f"{leaving.id} stopped", lambda: not leaving.running or None)
        assert (exit_code.REMOVED, True) == (leaving.exit_status, "removed from the cluster" in leaving.tail())


def test_a_leader_that_is_cut_off_and_removed_meanwhile_ends_when_the_cut_is_over(tmp_path: Path) -> None:
    """The connections stay open all the time, and carry nothing."""
    with CutCluster(tmp_path) as cluster:
        leaving, others = cluster.leader(), cluster.followers()
        cluster.cut([leaving], others)
        cluster.wait_for("another node leads", lambda: next((node for node in others if node.leads()), None))
        with JsonClient([node.url for node in others], timeout_s=30) as client:
            client.change_members("remove", leaving.id)
        assert leaving.running
        cluster.links.heal()
        cluster.wait_for(f"{leaving.id} stopped", lambda: not leaving.running or None)
        assert (exit_code.REMOVED, True) == (leaving.exit_status, "removed from the cluster" in leaving.tail())


def test_the_old_disk_of_a_member_that_was_replaced_ends_and_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.cast("before", 20)
    replaced = cluster.followers()[0]
    replaced.kill()
    data_folder.copy(replaced.folder, tmp_path / "old disk")
    data_folder.empty(replaced.folder)
    replaced.start()
    cluster.wait_for("it has copies", lambda: (replaced.get("/status") or {}).get("version") or None)
    with cluster.client() as client:
        client.change_members("replace", replaced.id)
    cluster.wait_for("all are voters", lambda: _voters(cluster) == {"n1", "n2", "n3"} or None)
    replaced.kill()
    data_folder.put_back(tmp_path / "old disk", replaced.folder)
    replaced.start()
    cluster.wait_for("the old disk's node ends", lambda: not replaced.running or None)
    assert exit_code.REMOVED == replaced.exit_status, replaced.tail()
    assert {"n1", "n2", "n3"} == _voters(cluster)


def test_a_node_whose_disk_was_emptied_gives_no_ballot_until_it_is_replaced(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        cluster.cast("first", 50)
        leader = cluster.leader()
        emptied, other = cluster.followers()
        emptied.kill()
        data_folder.empty(emptied.folder)
        emptied.start()
        cluster.wait_for("it has copies", lambda: (emptied.get("/status") or {}).get("version") or None)
        assert not _raft(emptied)["voter"]
        other.pause()
        leader.kill()  # if the emptied node could vote now, entries that only the other two have could be lost
        try:
            with cluster.client(timeout_s=3) as client:
                client.vote(Vote("happy", id="nobody-may-count-this"))
            raise AssertionError("a vote was taken by one node that remembers and one that does not")
        except QuorateError:
            pass
        other.resume()
        leader.start()
        cluster.leader()
        with cluster.client() as client:
            client.change_members("replace", emptied.id)
        cluster.wait_for("all are voters", lambda: _voters(cluster) == {"n1", "n2", "n3"} or None)
        cluster.wait_for("it may vote", lambda: _raft(emptied).get("voter") or None)
        cluster.cast("second", 50)
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert shown["results"]["happy"] in (100, 101)


def test_one_survivor_goes_on_and_the_old_nodes_cannot_undo_it(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        cluster.cast("before", 50)
        cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        survivor, lost, returns = cluster.nodes
        generation = survivor.get("/status")["state"]["generation"]
        for node in cluster.nodes:
            node.kill()
        refused = _recover(survivor)
        assert (2, True) == (refused.returncode, "--unsafe" in refused.stderr)
        done = _recover(survivor, "--unsafe")
        assert 0 == done.returncode, done.stderr
        assert "only voter" in done.stdout
        survivor.start()
        survivor.wait_ready()
        assert generation + 1 == survivor.get("/status")["state"]["generation"]
        returns.start()  # its old disk belongs to another cluster now
        cluster.wait_for("it is refused", lambda: "another cluster's" in returns.tail() or None)
        returns.kill()
        for node in (lost, returns):
            shutil.rmtree(node.folder)
            node.settings["raft.bootstrap"] = False
            node.start()
            with survivor_client(survivor) as client:
                client.change_members("add", node.id, node.settings["raft.listen"])
            cluster.wait_for(f"{node.id} is a voter", partial(_is_voter, cluster, node))
        cluster.cast("after", 50)
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert 100 == shown["results"]["happy"]
        cluster.wait_for("SQLite follows", lambda: cluster.in_sqlite("mood") == shown["results"] or None)


def survivor_client(survivor: NodeProcess) -> JsonClient:
    return JsonClient([survivor.url], timeout_s=30)


def _recover(node: NodeProcess, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quorate", "recover", "--config", str(node.config), *flags],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
