"""A node that is to join a cluster that runs already."""

from __future__ import annotations

from quorate.processes.node import NodeProcess, Place
from quorate.processes.ports import free_ports
from tests.support.cluster import Cluster

OWN = ("node.id", "node.data", "http.listen", "raft.listen")  # each node has another value


def newcomer_of(cluster: Cluster, node_id: str) -> NodeProcess:
    """A node with an empty disk that does not form a cluster and knows the addresses of the others."""
    http, raft = free_ports(2)
    model = cluster.nodes[0].settings
    peers = [*model["raft.peers"], f"{node_id}=127.0.0.1:{raft}"]
    settings = {
        **{name: value for name, value in model.items() if name not in OWN},
        "raft.peers": peers,
        "raft.bootstrap": False,
    }
    return NodeProcess(Place.local(node_id, cluster.folder / node_id, http, raft), settings)
