"""The nodes that are registered in Consul: for commands that are to talk to them, and for members that have moved."""

from __future__ import annotations

from quorate.cluster.discovery.consul import TROUBLE, connect, in_words
from quorate.cluster.discovery.entries import Entry, read_entries
from quorate.config import Consul
from quorate.errors import ConfigError, NotReady


def find_nodes(settings: Consul, *, cluster: str | None = None) -> list[str]:
    """The URLs of the nodes whose checks pass; the leader comes first.

    Raises `NotReady` if Consul does not answer, `ConfigError` if there are several clusters and none was named.
    """
    entries = [entry for entry in _entries(settings, passing=True) if entry.url]
    clusters = {entry.cluster for entry in entries}
    if cluster is None and len(clusters) > 1:
        raise ConfigError(f"Consul has nodes of {', '.join(sorted(clusters))}: say which by QUORATE_NODE_CLUSTER")
    wanted = [entry for entry in entries if cluster in (None, entry.cluster)]
    wanted.sort(key=lambda entry: (not entry.leads, entry.service_id))
    return list(dict.fromkeys(entry.url for entry in wanted))


def find_raft_addresses(settings: Consul, cluster: str) -> dict[str, str]:
    """Where the registered nodes of this cluster listen for their peers, ready or not: node id -> host:port.

    Raises `NotReady` if Consul does not answer. Whoever may write to Consul may have written this.
    """
    found = [entry for entry in _entries(settings) if entry.cluster == cluster and entry.raft]
    return {entry.node: entry.raft for entry in found}


def _entries(settings: Consul, *, passing: bool = False) -> list[Entry]:
    client = connect(settings)
    try:
        _, answer = client.health.service(settings.service, passing=passing or None)
    except TROUBLE as error:
        raise NotReady(f"Consul at {settings.shown_address}: {in_words(error)}") from None
    finally:
        client.http.session.close()
    return read_entries(answer)
