"""A node that is told to stop hands its leadership over first. Told twice, it stops at once."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from quorate.processes.node import QUORATE, NodeProcess, Place
from quorate.processes.ports import free_ports
from tests.support.cluster import Cluster

# Long, so that a node becomes leader in time only because it was asked to, not by a timeout.
ELECTION_TIMEOUT_MS = 10_000
HANDED_OVER_S = 9.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_leader_that_stops_hands_leadership_over(tmp_path: Path, number: signal.Signals) -> None:
    with Cluster(tmp_path, settings={"raft.election_timeout_ms": ELECTION_TIMEOUT_MS}) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        leader = cluster.leader()
        leader.signal(number)
        assert 0 == leader.ended(), leader.tail()
        others = [node for node in cluster.nodes if node is not leader]
        cluster.wait_for(
            "another node leads, before anyone could have missed the old one",
            lambda: any(node.leads() for node in others),
            deadline_s=HANDED_OVER_S,
        )
        status, body, _ = others[0].ask("POST", "/votes", b'{"option":"happy","id":"a"}')
        assert (200, True) == (status, b'"applied":1' in body)


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """After the first signal the node waits for a client that never finishes its request. The second ends that."""
    with Cluster(tmp_path, size=1, settings={"http.drain_s": 600}) as cluster:
        (node,) = cluster.nodes
        with socket.create_connection(("127.0.0.1", node.port)) as slow:
            slow.sendall(
                b"POST /votes HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            cluster.wait_for("the node answers others", node.is_ready)
            node.signal(signal.SIGTERM)
            cluster.wait_for("it says that it stops", lambda: "SIGTERM" in node.output())
            assert node.running
            node.signal(signal.SIGTERM)
            assert 1 == node.ended(deadline_s=10)


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(tmp_path: Path) -> None:
    """As under `nohup`, and as a shell without job control starts what ends with `&`."""
    http, raft = free_ports(2)
    place = Place.local("n1", tmp_path / "n1", http, raft)
    ignoring = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh", *QUORATE]
    node = NodeProcess(place, {"raft.bootstrap": True, "flush.sinks": []}, command=ignoring)
    node.start()
    try:
        node.wait_ready()
        node.signal(signal.SIGHUP)
        node.signal(signal.SIGINT)
        assert 0 == node.stop(), node.tail()
        assert "SIGTERM: handing over" in node.output(), node.tail()
        assert "SIGHUP" not in node.output()
        assert "SIGINT" not in node.output()
    finally:
        node.close()


def test_a_stopped_node_comes_back_with_everything(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        assert 200 == cluster.nodes[0].ask("POST", "/votes", b'{"option":"happy","id":"a"}')[0]
        for node in cluster.nodes:
            node.signal(signal.SIGTERM)
        assert [0, 0, 0] == [node.ended() for node in cluster.nodes]
        cluster.start()
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert {"happy": 1, "sad": 0} == shown["results"]


def test_leadership_is_handed_over_on_request(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        before = cluster.leader()
        with cluster.client() as client:
            assert before.id != client.transfer_leadership()
        assert cluster.leader(other_than=before).running
        assert before.running
