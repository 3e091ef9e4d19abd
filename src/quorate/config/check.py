"""Contradictions between settings that are right each by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from quorate.config.adapter_table import ADAPTERS, sink_names
from quorate.config.address import Address, parse_address, told_address
from quorate.config.general import anonymous_roles
from quorate.config.settings import Config
from quorate.errors import ConfigError
from quorate.host_port import is_url
from quorate.security import keys
from quorate.security.roles import ROLES
from quorate.shown import without_password
from quorate.site import read_name


def problems_of(config: Config) -> list[str]:
    """Each contradiction as a sentence that says what to change; an empty list if there is none."""
    own = [
        problem
        for section in (*config.adapters.values(), config.backup, config.stream)
        for problem in section.problems()
    ]
    if broken := [*_addresses(config)]:
        return broken + own
    return [*_members(config), *_bootstrap_by_consul(config), *_doors(config), *_sinks(config), *own]


def _addresses(config: Config) -> Iterator[str]:
    """The addresses of the node itself can be read. All later checks rely on it."""
    readers: dict[str, Callable[[], object]] = {
        "http.listen": lambda: config.http.addresses,
        "resp.listen": lambda: config.resp.addresses,
        "resp.advertise": lambda: config.resp.advertise and parse_address(config.resp.advertise),
        "raft.listen": lambda: config.raft.addresses,
        "raft.advertise": lambda: config.raft.advertise and parse_address(config.raft.advertise),
        "raft.peers": lambda: config.raft.members,
    }
    for name, read in readers.items():
        try:
            read()
        except ConfigError as error:
            yield f"{name}: {error.detail}"


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
    http, raft = told_address(config.http.addresses), told_address(config.raft.addresses)
    example = f"{config.http.scheme}://this-host:{http.port}"
    yield from _overlaps(config)
    if http.is_wildcard and not config.http.advertise:
        yield f"http.listen is {http}, which tells others no address: set http.advertise, as {example}"
    if "@" in config.http.advertise:
        yield f"http.advertise has something before @, which everybody would be told; give a URL, as {example}"
    elif config.http.advertise and not is_url(config.http.advertise):
        yield f"http.advertise is {config.http.advertise!r}; give a URL, as {example}"
    elif config.http.tls_cert and config.http.advertise.startswith("http:"):
        yield f"http.advertise is {config.http.advertise}, and with http.tls_cert this node speaks HTTPS: give https://"
    if config.http.tls_key and not config.http.tls_cert:
        yield "http.tls_key is a key without a certificate: set http.tls_cert too, or leave both out"
    for name in config.http.hosts:
        if read_name(name) is None:
            wrong = without_password(name)
            yield f"http.hosts has {wrong!r}; give host names as votes.example, with a port only if it has to be that"
    if raft.is_wildcard and not config.raft.peers and not config.raft.advertise:
        yield f"raft.listen is {raft}, which tells peers no address: set raft.advertise or raft.peers"
    yield from _resp(config)
    if config.traces.url and not is_url(config.traces.url):
        yield f"traces.url is {without_password(config.traces.url)!r}; give a URL, as http://127.0.0.1:4318"
    yield from _key(config)
    yield from _callers(config)


def _resp(config: Config) -> Iterator[str]:
    told = config.resp.told
    if config.resp.advertise and not config.resp.listen:
        yield "resp.advertise is an address of a door that is not open: set resp.listen too, or leave both out"
    elif told is not None and told.is_wildcard:
        yield f"resp.listen is {told}, which tells others no address: set resp.advertise, as this-host:{told.port}"


def _callers(config: Config) -> Iterator[str]:
    """Who may ask this node is said by somebody, unless only this host can ask."""
    for name, addresses in (("http.listen", config.http.addresses), ("resp.listen", config.resp.addresses)):
        reachable = [address for address in addresses if not address.is_loopback]
        if reachable and not config.auth.file and not config.http.insecure:
            yield (
                f"{name} is {reachable[0]}, open to other hosts, and there is no auth.file: make tokens "
                "(quorate token new) and set auth.file, or set http.insecure = true if whoever reaches it may do "
                "everything"
            )
    roles = config.auth.anonymous
    for name in dict.fromkeys(roles):
        if name not in anonymous_roles():
            yield f"auth.anonymous has {name!r}; give roles of {', '.join(ROLES)}, or auto alone, or [] for none"
    if "auto" in roles and len(roles) > 1:
        yield "auth.anonymous has auto and others: give auto alone, or the roles alone"


def _overlaps(config: Config) -> Iterator[str]:
    """Two addresses of which one takes the other's connections: only one of the two could be had."""
    every = [
        *(("http.listen", address) for address in config.http.addresses),
        *(("resp.listen", address) for address in config.resp.addresses),
        *(("raft.listen", address) for address in config.raft.addresses),
    ]
    for (name, one), (other_name, other) in itertools.combinations(every, 2):
        if not one.port or one.port != other.port:
            continue
        if name != other_name and one == other:
            yield f"{name} and {other_name} are both {one}; give them different ports"
        elif name != other_name and (one.is_wildcard or other.is_wildcard):
            yield f"{name} has {one} and {other_name} has {other}, which overlap; give them different ports"
        elif one == other:
            yield f"{name} has {one} twice; give it once"
        elif name == other_name and _takes_all(one, other):
            wide, narrow = (one, other) if one.is_wildcard else (other, one)
            yield f"{name} has {narrow}, which {wide} takes too: leave {narrow} out"


def _takes_all(one: Address, other: Address) -> bool:
    """Whether one of them is the wildcard of the other's family. A name may be of the other family: that is tried."""
    if any(each.is_name for each in (one, other)):
        return False
    return (one.is_wildcard or other.is_wildcard) and (":" in one.host) == (":" in other.host)


def _key(config: Config) -> Iterator[str]:
    raft = config.raft
    for name, key in (("raft.key", raft.key), ("raft.key_old", raft.key_old)):
        if key and (why := keys.why_guessable(key)) is not None:
            yield f"{name} {why}, so it can be guessed; {keys.MAKE_ONE}"
    if raft.key_old and not raft.key:
        yield "raft.key_old is the second key beside raft.key, which is not set: set raft.key"
    files = {"raft.tls_cert": raft.tls_cert, "raft.tls_key": raft.tls_key, "raft.tls_ca": raft.tls_ca}
    if missing := [name for name, file in files.items() if not file]:
        given = [name for name, file in files.items() if file]
        if given:
            yield f"{' and '.join(given)} without {' and '.join(missing)}: give all three, or none"
    reachable = [address for address in raft.addresses if not address.is_loopback]
    if not raft.key and missing and reachable and not raft.insecure:
        yield (
            f"raft.listen is {reachable[0]}, open to other hosts, and there is no raft.key: set the same raft.key (or "
            "raft.key_file) on all nodes, or a certificate on each (raft.tls_cert, raft.tls_key, raft.tls_ca), or "
            "raft.insecure = true if the network is yours alone"
        )


def _sinks(config: Config) -> Iterator[str]:
    sinks = config.flush.sinks
    for name in dict.fromkeys(sinks):
        if name not in sink_names():
            yield f"flush.sinks has {name!r}, which is no sink; there are {', '.join(sink_names())}; [] for none"
        elif sinks.count(name) > 1:
            yield f"flush.sinks has {name} twice; give it once"
        elif ADAPTERS[name].one_host and not config.sqlite.shared:
            yield from _on_one_host(config, name)


def _on_one_host(config: Config, sink: str) -> Iterator[str]:
    own = config.members().get(config.node.id)
    others = [id for id, a in config.members().items() if own and a.host != own.host and not a.is_loopback]
    if others:
        yield (
            f"flush.sinks has {sink}, a file on this host, but {', '.join(others)} run elsewhere: after a failover the "
            "file here would be stale. Give another sink, as mongo, or none; or set sqlite.shared = true if they are "
            "containers of one host and all have this very file"
        )
    elif config.raft.bootstrap_expect > 1 and own and not own.is_loopback:
        yield (
            f"flush.sinks has {sink}, a file on this host, and raft.bootstrap_expect may find nodes on others: after a "
            "failover the file here would be stale. Give another sink, as mongo, or none"
        )
