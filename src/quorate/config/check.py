"""Contradictions between settings that are right each by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from quorate.config.adapter_table import ADAPTERS, sink_names
from quorate.config.address import Address, parse_address
from quorate.config.settings import Config
from quorate.errors import ConfigError

KEY_CHARACTERS_MIN = 16
HOST = re.compile(r"(?:[^\s/@:*\[\]]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)


def problems_of(config: Config) -> list[str]:
    """Each contradiction as a sentence that says what to change; an empty list if there is none."""
    own = [problem for section in config.adapters.values() for problem in section.problems()]
    if broken := [*_addresses(config)]:
        return broken + own
    return [*_members(config), *_bootstrap_by_consul(config), *_doors(config), *_sinks(config), *own]


def _addresses(config: Config) -> Iterator[str]:
    """The addresses of the node itself can be read. All later checks rely on it."""
    texts = {
        "http.listen": config.http.listen,
        "raft.listen": config.raft.listen,
        "raft.advertise": config.raft.advertise,
    }
    for name, text in texts.items():
        try:
            if text or name != "raft.advertise":
                parse_address(text)
        except ConfigError as error:
            yield f"{name}: {error.detail}"
    try:
        config.raft.members  # noqa: B018 - read for its error
    except ConfigError as error:
        yield f"raft.peers: {error.detail}"


def _members(config: Config) -> Iterator[str]:
    members = config.raft.members
    if members and config.node.id not in members:
        yield (
            f"raft.peers has {', '.join(members)} but not this node's own id {config.node.id}: "
            f"add {config.node.id}=host:port, or correct node.id"
        )
    for id, address in members.items():
        if address.port == 0 or address.is_wildcard:
            yield f"raft.peers: {id}={address} is no address that others can reach; give its host and port"


def _bootstrap_by_consul(config: Config) -> Iterator[str]:
    """Nodes that find each other in Consul must be told no other peers. Otherwise two clusters might form."""
    if not config.raft.bootstrap_expect:
        return
    if config.raft.peers:
        yield "raft.peers says who forms the cluster, and so does raft.bootstrap_expect, by Consul: give one of them"
    elif config.raft.bootstrap:
        yield "raft.bootstrap forms a cluster of raft.peers: leave it out, as raft.bootstrap_expect says what to form"
    if not config.consul.address:
        yield "raft.bootstrap_expect has nodes find each other in Consul: set consul.address"
    if not config.raft.peers and config.raft_address().port == 0:
        yield f"{config.raft_address()} tells others no address: give raft.listen a port, or set raft.advertise"


def _doors(config: Config) -> Iterator[str]:
    http, raft = parse_address(config.http.listen), parse_address(config.raft.listen)
    if http == raft and http.port:
        yield f"http.listen and raft.listen are both {http}; give them different ports"
    if http.is_wildcard and not config.http.advertise:
        yield f"http.listen is {http}, which tells others no address: set http.advertise, as http://this-host:{http.port}"
    if config.http.advertise and not _is_url(config.http.advertise):
        yield f"http.advertise is {config.http.advertise!r}; give a URL, as http://this-host:{http.port}"
    for name in config.http.hosts:
        if not HOST.fullmatch(name):
            yield f"http.hosts has {name!r}; give host names as votes.example, with a port only if it must be that port"
    if raft.is_wildcard and not config.raft.peers and not config.raft.advertise:
        yield f"raft.listen is {raft}, which tells peers no address: set raft.advertise or raft.peers"
    yield from _key(config, raft)


def _key(config: Config, raft: Address) -> Iterator[str]:
    if config.raft.key and len(config.raft.key) < KEY_CHARACTERS_MIN:
        yield f"raft.key has fewer than {KEY_CHARACTERS_MIN} characters; make one: openssl rand -hex 32"
    if not config.raft.key and not raft.is_loopback and not config.raft.insecure:
        yield (
            f"raft.listen is {raft}, open to other hosts, and there is no raft.key: set the same raft.key (or "
            "raft.key_file) on all nodes, or raft.insecure = true if the network is yours alone"
        )


def _sinks(config: Config) -> Iterator[str]:
    sinks = config.flush.sinks
    for name in dict.fromkeys(sinks):
        if name not in sink_names():
            yield f"flush.sinks has {name!r}, which is no sink; there are {', '.join(sink_names())}; [] for none"
        elif sinks.count(name) > 1:
            yield f"flush.sinks has {name} twice; give it once"
        elif ADAPTERS[name].one_host:
            yield from _on_one_host(config, name)


def _on_one_host(config: Config, sink: str) -> Iterator[str]:
    own = config.members().get(config.node.id)
    others = [id for id, a in config.members().items() if own and a.host != own.host and not a.is_loopback]
    if others:
        yield (
            f"flush.sinks has {sink}, a file on this host, but {', '.join(others)} run elsewhere: after a failover the "
            "file here would be stale. Give another sink, as mongo, or none"
        )
    elif config.raft.bootstrap_expect > 1 and own and not own.is_loopback:
        yield (
            f"flush.sinks has {sink}, a file on this host, and raft.bootstrap_expect may find nodes on others: after a "
            "failover the file here would be stale. Give another sink, as mongo, or none"
        )


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.netloc)
