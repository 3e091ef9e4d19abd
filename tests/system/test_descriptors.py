"""A crowd of connections uses up what the system lets a node have open: its log, its peers and honest clients go on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster
from tests.system import faults

LIMIT = 256
FOLLOW = b"GET /events?poll=mood HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    env = {"FEW_DESCRIPTORS": str(LIMIT)}
    with (
        Cluster(tmp_path, module="tests.system.few_descriptors", env=env) as cluster,
        cluster.client() as client,
    ):
        client.create_poll("mood", faults.OPTIONS)
        yield cluster


def dial(node: NodeProcess, sockets: ExitStack, first: bytes) -> None:
    """One connection, which is kept whatever the node says; a node that takes none is as good as one that closes it."""
    try:
        sock = sockets.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=10))
        sock.sendall(first)
    except OSError:
        return


@pytest.mark.parametrize("first", [FOLLOW, b""], ids=["streams", "idle"])
def test_a_crowd_of_connections_stops_no_node_and_no_vote(cluster: Cluster, first: bytes) -> None:
    """The crowd holds more than the limit at every node while the log needs new files and a peer comes back."""
    leader = cluster.leader()
    restarted = cluster.followers()[0]
    with ExitStack() as sockets:
        for number in range(LIMIT + 64):
            for node in cluster.nodes:
                if node is not restarted or number < 32:
                    dial(node, sockets, first)
        restarted.kill()
        restarted.start()
        restarted.wait_ready()
        with cluster.client() as client:
            for number in range(6):  # each fills a file of the log
                client.create_poll(f"big-{number}", [f"{option:0100}" for option in range(2_000)])
            cluster.cast("crowded", 50)
        assert len(list(leader.folder.glob("log-*.seg"))) > 4
    assert all(node.running for node in cluster.nodes)
    assert leader is cluster.leader()
    cluster.wait_for("all nodes have all votes", lambda: (cluster.results("mood") or {}).get("total") == 50)
    assert "Too many open files" not in cluster.seen()
