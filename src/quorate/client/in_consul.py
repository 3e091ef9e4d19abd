"""The nodes of a cluster, looked up in Consul."""

from __future__ import annotations

import os

from quorate.cluster.discovery.nodes import find_nodes
from quorate.config import load
from quorate.errors import NoLeader, NotReady


def nodes_in_consul(address: str) -> list[str]:
    """The nodes whose check passes in Consul, the leader first. Raises `NoLeader` if there is none.

    The environment variables for nodes (token, name of the service, name of the cluster ...) are used here too.
    """
    env = {name: value for name, value in os.environ.items() if name.startswith("QUORATE_CONSUL_")}
    settings = load(env=env, flags={"consul.address": address}).config.consul
    try:
        found = find_nodes(settings, cluster=os.environ.get("QUORATE_NODE_CLUSTER"))
    except NotReady as error:
        raise NoLeader(error.detail) from None
    if not found:
        raise NoLeader(
            f"Consul at {settings.shown_address} has no node of service {settings.service} whose check passes"
        )
    return found
