"""The nodes that are registered in Consul, for commands that are to talk to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.cluster.discovery.consul import TROUBLE, connect, in_words
from quorate.config import Address, Consul
from quorate.errors import ConfigError, NotReady


def find_nodes(settings: Consul, *, cluster: str | None = None) -> list[str]:
    """The URLs of the nodes whose checks pass; the leader comes first.

    Raises `NotReady` if Consul does not answer, `ConfigError` if there are several clusters and none was named.
    """
    client = connect(settings)
    try:
        _, entries = client.health.service(settings.service, passing=True)
    except TROUBLE as error:
        raise NotReady(f"Consul at {settings.address}: {in_words(error)}") from None
    finally:
        client.http.session.close()
    clusters = {entry["Service"]["Meta"].get("cluster", "") for entry in entries}
    if cluster is None and len(clusters) > 1:
        raise ConfigError(f"Consul has nodes of {', '.join(sorted(clusters))}: say which by QUORATE_NODE_CLUSTER")
    wanted = [entry for entry in entries if cluster in (None, entry["Service"]["Meta"].get("cluster"))]
    wanted.sort(key=lambda entry: ("leader" not in entry["Service"]["Tags"], entry["Service"]["ID"]))
    return list(dict.fromkeys(_url(entry) for entry in wanted))


def _url(entry: Mapping[str, Any]) -> str:
    service = entry["Service"]
    host = service["Address"] or entry["Node"]["Address"]
    return str(service["Meta"].get("http") or f"http://{Address(host, service['Port'])}")
