"""The nodes that are registered in Consul: for commands that are to talk to them, and for members that have moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.cluster.discovery.consul import TROUBLE, connect, in_words
from quorate.config import Address, Consul
from quorate.errors import ConfigError, NotReady
from quorate.host_port import why_unreachable


def find_nodes(settings: Consul, *, cluster: str | None = None) -> list[str]:
    """The URLs of the nodes whose checks pass; the leader comes first.

    Raises `NotReady` if Consul does not answer, `ConfigError` if there are several clusters and none was named.
    """
    client = connect(settings)
    try:
        _, entries = client.health.service(settings.service, passing=True)
    except TROUBLE as error:
        raise NotReady(f"Consul at {settings.shown_address}: {in_words(error)}") from None
    finally:
        client.http.session.close()
    clusters = {entry["Service"]["Meta"].get("cluster", "") for entry in entries}
    if cluster is None and len(clusters) > 1:
        raise ConfigError(f"Consul has nodes of {', '.join(sorted(clusters))}: say which by QUORATE_NODE_CLUSTER")
    wanted = [entry for entry in entries if cluster in (None, entry["Service"]["Meta"].get("cluster"))]
    wanted.sort(key=lambda entry: ("leader" not in entry["Service"]["Tags"], entry["Service"]["ID"]))
    return list(dict.fromkeys(_url(entry) for entry in wanted))


def find_raft_addresses(settings: Consul, cluster: str) -> dict[str, str]:
    """Where the registered nodes of this cluster listen for their peers, ready or not: node id -> host:port.

    Raises `NotReady` if Consul does not answer. Whoever may write to Consul may have written this.
    """
    client = connect(settings)
    try:
        _, entries = client.health.service(settings.service)
    except TROUBLE as error:
        raise NotReady(f"Consul at {settings.shown_address}: {in_words(error)}") from None
    finally:
        client.http.session.close()
    metas = [entry["Service"]["Meta"] for entry in entries]
    return {
        meta["node"]: meta["raft"]
        for meta in metas
        if meta.get("cluster") == cluster and "node" in meta and why_unreachable(meta.get("raft", "")) is None
    }


def _url(entry: Mapping[str, Any]) -> str:
    service = entry["Service"]
    host = service["Address"] or entry["Node"]["Address"]
    return str(service["Meta"].get("http") or f"http://{Address(host, service['Port'])}")
