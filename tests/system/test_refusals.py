"""A node that must not run says why, and changes nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from quorate.processes.node import NodeProcess, Place
from quorate.processes.ports import free_ports
from tests.support.cluster import Cluster


@pytest.fixture
def node(tmp_path: Path) -> NodeProcess:
    http, raft = free_ports(2)
    settings = {"raft.bootstrap": True, "flush.sink": "none"}
    env = {"QUORATE_TRACEBACK": "1"}
    return NodeProcess(Place.local("n1", tmp_path / "n1", http, raft), settings, env=env)


def refusal(node: NodeProcess) -> str:
    """Start a node that ends by itself. Returns what it says."""
    node.env.pop("QUORATE_TRACEBACK", None)  # as a user would see it
    before = len(node.output())
    node.start()
    try:
        assert node.ended() in (1, 2), node.tail()  # 2 where a setting is at fault
    finally:
        node.close()
    said = node.output()[before:]
    assert "Traceback" not in said
    return said


def run_once(node: NodeProcess) -> None:
    node.start()
    try:
        node.wait_ready()
        assert 0 == node.stop(), node.tail()
    finally:
        node.close()


def test_two_peers_of_one_id_are_refused(node: NodeProcess) -> None:
    address = node.settings["raft.listen"]
    node.settings["raft.peers"] = [f"n1={address}", f"n1={address}"]
    said = refusal(node)
    assert "raft.peers" in said
    assert "n1" in said


def test_an_unknown_key_names_the_nearest(node: NodeProcess) -> None:
    node.folder.mkdir()
    node.config.write_text("[raft]\nelection_timeout = 500\n")
    node.write_config = lambda: None  # type: ignore[method-assign] # the file above, as it stands
    assert "raft.election_timeout_ms" in refusal(node)


@pytest.mark.parametrize("setting", ["http.listen", "raft.listen"])
def test_a_port_in_use_is_named(node: NodeProcess, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        node.settings[setting] = address
        said = refusal(node)
    assert address in said
    assert "in use" in said


def test_a_second_process_in_one_folder_is_refused(node: NodeProcess) -> None:
    http, raft = free_ports(2)
    place = Place.local("n1", node.folder, http, raft)
    listen = {"http.listen": str(place.http), "raft.listen": str(place.raft)}
    twin = NodeProcess(place, {**node.settings, **listen})
    node.start()
    try:
        node.wait_ready()
        twin.log = node.folder / "twin.log"
        assert str(node.folder) in refusal(twin)
        assert node.is_ready()
    finally:
        node.close()


def test_the_folder_of_another_node_is_refused(node: NodeProcess) -> None:
    run_once(node)
    node.settings["node.id"] = "n2"
    said = refusal(node)
    assert "n1" in said
    assert "n2" in said
    node.settings["node.id"] = "n1"
    run_once(node)


def test_the_folder_of_another_cluster_is_refused(node: NodeProcess) -> None:
    run_once(node)
    node.settings["node.cluster"] = "elsewhere"
    said = refusal(node)
    assert "elsewhere" in said
    node.settings["node.cluster"] = "quorate"
    run_once(node)


def test_a_node_of_another_cluster_is_not_let_in(tmp_path: Path) -> None:
    """Two clusters are formed separately and then given each other's address. Neither takes entries of the other."""
    with Cluster(tmp_path / "a", size=1) as ours, Cluster(tmp_path / "b", size=1) as theirs:
        with ours.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        stray = theirs.nodes[0]
        stray.stop()
        stray.settings["raft.peers"] = [
            f"n1={stray.settings['raft.listen']}",
            f"n2={ours.nodes[0].settings['raft.listen']}",
        ]
        stray.start()
        ours.wait_for("ours leads", ours.nodes[0].leads)
        assert stray.get("/polls/mood") is None
