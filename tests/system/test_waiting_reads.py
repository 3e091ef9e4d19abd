"""Reads that wait for a version that never comes, in a crowd at one node: votes and other reads go on at all nodes."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

from quorate.cluster.read.version_waits import WAITING_MAX
from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster

CROWD = WAITING_MAX + 100
WAIT = b"GET /polls/mood/results?min_version=999999999999&wait=30s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def crowd_at(node: NodeProcess, sockets: ExitStack) -> None:
    for _ in range(CROWD):
        sock = sockets.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=20))
        sock.sendall(WAIT)


def may_wait(node: NodeProcess) -> int:
    """The status of one more read that waits, but shortly: 503 where it may wait (and waits in vain), else 429."""
    return node.ask("GET", "/polls/mood/results?min_version=999999999999&wait=50ms")[0]


def vote(node: NodeProcess, id: str) -> int:
    return node.ask("POST", "/votes", json.dumps({"option": "happy", "id": id}).encode())[0]


def test_a_crowd_of_reads_that_wait_starves_no_vote(cluster: Cluster) -> None:
    leader = cluster.leader()
    crowded, _ = cluster.followers()
    with ExitStack() as sockets:
        crowd_at(crowded, sockets)
        cluster.wait_for("no more reads may wait there", lambda: may_wait(crowded) == 429)
        votes = [(node, vote(node, f"{node.id}-{number}")) for number in range(20) for node in cluster.nodes]
        assert {200} == {status for _, status in votes}, votes
        assert {200} == {node.ask("GET", "/polls/mood/results")[0] for node in cluster.nodes}
        assert {503} == {may_wait(node) for node in cluster.nodes if node is not crowded}
        assert 200 == crowded.ask("GET", "/version")[0]
    cluster.wait_for("reads may wait there again", lambda: may_wait(crowded) == 503, deadline_s=10)
    assert leader is cluster.leader()
