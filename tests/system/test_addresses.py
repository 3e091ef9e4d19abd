"""Real nodes that move to other ports: one by one, all at once, at each start. And who stands where they were."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from quorate.processes.node import NodeProcess, Place
from quorate.processes.ports import free_ports
from quorate.vote import Vote
from tests.support.cluster import Cluster
from tests.support.history import History
from tests.support.verdict import assert_exact
from tests.support.voters import Voters, sends
from tests.system import faults

VOTES = 12_000


def peers_of(node: NodeProcess) -> dict[str, str]:
    return dict(each.split("=", 1) for each in node.settings["raft.peers"])


def set_peers(node: NodeProcess, peers: Mapping[str, str]) -> None:
    node.settings["raft.peers"] = [f"{id}={address}" for id, address in peers.items()]


def new_address(node: NodeProcess) -> str:
    """Give the node, which is down, another port; its own entry of its own raft.peers follows, and nothing else."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    node.settings["raft.listen"] = address
    set_peers(node, {**peers_of(node), node.id: address})
    return address


def in_the_log(node: NodeProcess) -> dict[str, str]:
    shown = node.get("/members")
    return {member["id"]: member["raft"] for member in shown["members"]} if shown else {}


def wait_in_logs(cluster: Cluster, addresses: Mapping[str, str]) -> None:
    cluster.wait_for(
        f"all logs have {addresses}",
        lambda: all(addresses.items() <= in_the_log(node).items() for node in cluster.nodes if node.running) or None,
    )


def quorate(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    nodes = [part for node in cluster.nodes if node.running for part in ("--node", node.url)]
    asks = arguments[0] != "config"
    command = [sys.executable, "-m", "quorate", *arguments, *(nodes if asks else [])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.timeout(180)
def test_all_nodes_moved_at_once_find_a_leader_from_their_settings(cluster: Cluster) -> None:
    """Their logs have nothing but the old addresses."""
    with cluster.client() as client:
        client.vote(Vote("happy", id="before"))
    cluster.stop()
    moved = {node.id: new_address(node) for node in cluster.nodes}
    for node in cluster.nodes:
        set_peers(node, moved)
    cluster.start()
    assert "raft.peers differs from the log: n1 is at" in cluster.nodes[0].tail(200)
    wait_in_logs(cluster, moved)
    with cluster.client() as client:
        client.vote(Vote("happy", id="after"))
    cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
    for node in cluster.nodes:
        assert b"[+] addresses as in raft.peers\n" in node.ask("GET", "/readyz?verbose")[1]


@pytest.mark.timeout(300)
def test_two_of_three_move_under_load_and_the_death_of_the_third_is_no_outage(cluster: Cluster) -> None:
    """Nobody else's settings are changed. Each vote is counted once."""
    history = History(faults.votes(VOTES))
    voters = Voters(cluster.urls, history, sends(history.votes, twice=0.03, seed=5), seed=5)
    voters.start()
    moved = {}
    leader = cluster.leader()
    third, second = [node for node in cluster.nodes if node is not leader]
    try:
        for share, node in ((0.2, leader), (0.4, second)):
            voters.wait_until(share)
            node.stop()
            moved[node.id] = new_address(node)
            node.start()
            node.wait_ready()
        cluster.wait_whole(lag_max=10_000)
        wait_in_logs(cluster, moved)
        voters.wait_until(0.6)
        third.kill()
        assert cluster.leader(other_than=third) in (leader, second)
        voters.wait_until(0.9)
        third.start()
        voters.finish()
    finally:
        voters.stop()
    assert_exact(cluster, "mood", history)


@pytest.mark.timeout(180)
def test_a_node_whose_port_changes_at_each_restart_stays_a_member(cluster: Cluster) -> None:
    """As a pod does. Its peers' settings never have its address again."""
    for node in [cluster.leader(), *cluster.followers(), cluster.nodes[0]]:
        node.kill()
        address = new_address(node)
        node.start()
        node.wait_ready()
        wait_in_logs(cluster, {node.id: address})
        cluster.wait_whole(lag_max=10)
    with cluster.client() as client:
        client.vote(Vote("happy", id="after"))


@pytest.mark.timeout(180)
def test_an_address_told_wrongly_never_displaces_a_good_one(cluster: Cluster) -> None:
    for node in (cluster.leader(), cluster.followers()[0]):
        right = in_the_log(node)[node.id]
        node.stop()
        node.settings["raft.advertise"] = f"127.0.0.1:{free_ports(1)[0]}"
        node.start()
        node.wait_ready()
        cluster.wait_for(
            "a leader has looked there in vain",
            lambda id=node.id: any(f"{id} says that it is at" in each.tail(400) for each in cluster.nodes) or None,  # type: ignore[misc]
        )
        assert right == in_the_log(cluster.leader())[node.id]
        shown = node.ask("GET", "/readyz?verbose")
        assert 200 == shown[0], "a note, no failure"
        assert f"{node.id} is at {node.settings['raft.advertise']} here and at {right} in the log" in shown[1].decode()
        cluster.wait_whole(lag_max=10)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("foreign", ["with an empty disk", "of another cluster", "with another id"])
def test_a_foreign_node_at_an_old_address_is_nobody(cluster: Cluster, foreign: str, tmp_path: Path) -> None:
    moved = cluster.followers()[0]
    old = in_the_log(moved)[moved.id]
    moved.stop()
    address = new_address(moved)
    settings: dict[str, Any] = {"raft.bootstrap": True, "flush.sinks": []}
    if foreign == "of another cluster":
        settings |= {"node.cluster": "elsewhere", "raft.peers": []}
    elif foreign == "with an empty disk":
        settings |= {"raft.peers": [f"{id}={at}" for id, at in {**peers_of(moved), moved.id: old}.items()]}
    id = "n9" if foreign == "with another id" else moved.id
    place = Place.local(id, tmp_path / "foreign", free_ports(1)[0], int(old.rpartition(":")[2]))
    stranger = NodeProcess(place, settings)
    stranger.start()
    try:
        cluster.wait_for("the stranger is up", lambda: stranger.get("/status"))
        moved.start()
        moved.wait_ready()
        wait_in_logs(cluster, {moved.id: address})
        for node in (moved, cluster.leader()):
            node.kill()
            node.start()
        cluster.wait_ready()
        cluster.wait_whole(lag_max=10)
        wait_in_logs(cluster, {moved.id: address})
        with cluster.client() as client:
            client.vote(Vote("happy", id="counted"))
        cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        if foreign == "with an empty disk":  # it may store copies, as any disk that was emptied
            assert not stranger.get("/status")["raft"]["voter"]
            assert 503 == stranger.ask("GET", "/readyz")[0]
    finally:
        stranger.close()


@pytest.mark.timeout(180)
def test_commands_do_what_they_say_or_fail(cluster: Cluster) -> None:
    node = cluster.followers()[0]
    old, elsewhere = in_the_log(node)[node.id], f"127.0.0.1:{free_ports(1)[0]}"
    before = cluster.leader().get("/members")

    refused = quorate(cluster, "members", "replace", node.id, "--address", elsewhere)
    assert (1, True) == (refused.returncode, "has the disk that the log means" in refused.stderr), refused
    refused = quorate(cluster, "members", "update", node.id, "--address", elsewhere)
    assert (1, True) == (refused.returncode, "itself says that it is at" in refused.stderr), refused
    refused = quorate(cluster, "members", "remove", "n33")
    assert (1, True) == (refused.returncode, "n33 is no member" in refused.stderr), refused
    refused = quorate(cluster, "members", "add", "n4", "nonsense")
    assert (1, True) == (refused.returncode, "is not host:port" in refused.stderr), refused
    node.kill()
    refused = quorate(cluster, "members", "replace", node.id, "--address", elsewhere)
    assert (1, True) == (refused.returncode, "its disk may be good" in refused.stderr), refused
    refused = quorate(cluster, "members", "update", node.id, "--address", elsewhere)
    assert (1, True) == (refused.returncode, f"the log keeps {old}" in refused.stderr), refused
    assert before == cluster.leader().get("/members")

    # It starts where nobody expects it, and knows no right address of anybody: only an operator can tell.
    lost = dict(zip(peers_of(node), (f"127.0.0.1:{port}" for port in free_ports(3)), strict=True))
    set_peers(node, {**lost, node.id: elsewhere})
    node.settings["raft.listen"] = elsewhere
    node.start()
    done = quorate(cluster, "members", "update", node.id, "--address", elsewhere, "--json")
    assert 0 == done.returncode, done.stderr
    shown = {member["id"]: member for member in json.loads(done.stdout)["members"]}
    assert (elsewhere, True) == (shown[node.id]["raft"], shown[node.id]["voter"])
    node.wait_ready()
    cluster.wait_whole(lag_max=10)


@pytest.mark.timeout(120)
def test_the_check_of_settings_reads_the_log(cluster: Cluster) -> None:
    node = cluster.followers()[0]
    assert "" == quorate(cluster, "config", "check", str(node.config)).stderr
    old = in_the_log(node)[node.id]
    node.stop()
    address = new_address(node)
    node.write_config()
    files = {path: path.stat().st_mtime_ns for path in node.folder.iterdir()}
    told = quorate(cluster, "config", "check", str(node.config))
    assert 0 == told.returncode
    assert f"{node.id} is at {address} here and at {old} in the log" in told.stderr
    assert files == {path: path.stat().st_mtime_ns for path in node.folder.iterdir()}, "nothing is changed"
