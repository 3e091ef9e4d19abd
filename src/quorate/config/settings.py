"""Every setting there is: its section, name, type, limits, default and one line of what it is for.

This is the only list. The file format, the environment's names, `--set`, `quorate config show`, the commented
`quorate.toml` of a new node and docs/settings.md all follow from it. Structs are frozen: a running node's settings do
not change under it.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from quorate.config.address import Address, parse_address, parse_peers
from quorate.vote import ENTRY_BYTES_MAX

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
NSQ_NAME = r"^[.a-zA-Z0-9_-]{1,64}(#ephemeral)?$"
NSQ_NAME_OR_NONE = rf"^$|{NSQ_NAME}"
PORTABLE_INT_MAX = 2**31 - 1


def about(description: str, *, path: bool = False, secret: bool = False, **limits: Any) -> msgspec.Meta:
    """Describe a setting. `path`: relative to the file that sets it. `secret`: masked, and also read from `…_file`."""
    return msgspec.Meta(description=description, extra={"path": path, "secret": secret}, **limits)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the sections. Printing one does not print its secrets."""

    def __repr__(self) -> str:
        secrets = {s.key for s in SETTINGS.values() if s.secret and s.section == type(self).__name__.lower()}
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = (f"{name}=***" if name in secrets and value else f"{name}={value!r}" for name, value in fields)
        return f"{type(self).__name__}({', '.join(shown)})"


class Node(Section, frozen=True):
    id: Annotated[str, about("name of this node, as raft.peers has it", pattern=NAME)] = "n1"
    data: Annotated[str, about("folder of this node's log and snapshots, its own", path=True)] = "data/n1"
    cluster: Annotated[str, about("name of the cluster; nodes of another name are refused", pattern=NAME)] = "quorate"


class Http(Section, frozen=True):
    listen: Annotated[str, about("host:port to serve HTTP on")] = "127.0.0.1:8001"
    advertise: Annotated[str, about("URL by which others reach it; empty: made from http.listen")] = ""
    threads: Annotated[int, about("threads for the routes that may block", ge=1, le=256)] = 8
    connections_max: Annotated[int, about("open connections, beyond which 503 is answered", ge=1, le=1_000_000)] = (
        10_000
    )
    events_max: Annotated[int, about("open /events streams, beyond which 503 is answered", ge=0, le=100_000)] = 1_000
    keep_alive_s: Annotated[int, about("seconds an idle connection is kept", ge=1, le=3_600)] = 75
    timeout_ms: Annotated[int, about("how long a request waits for its outcome", ge=10, le=600_000)] = 5_000
    drain_s: Annotated[int, about("seconds to finish what is in flight at stop", ge=0, le=600)] = 5

    @property
    def url(self) -> str:
        """What to tell others. A wildcard address is of no use to them: `check` asks for http.advertise then."""
        return self.advertise.rstrip("/") or f"http://{self.listen}"


class Raft(Section, frozen=True):
    listen: Annotated[str, about("host:port for the links between nodes")] = "127.0.0.1:9001"
    advertise: Annotated[str, about("host:port by which peers reach it; empty: its own in raft.peers")] = ""
    peers: Annotated[list[str], about("all nodes, this one too, each id=host:port; empty: this node alone")] = []
    bootstrap: Annotated[bool, about("form a new cluster if the data folder is empty")] = False
    bootstrap_expect: Annotated[
        int, about("instead of peers: form a new cluster of so many nodes that find each other in Consul", ge=0, le=99)
    ] = 0
    election_timeout_ms: Annotated[
        int, about("silence of the leader after which a follower asks for ballots", ge=100, le=60_000)
    ] = 500
    key: Annotated[str, about("secret shared by all nodes of the cluster; 16 characters or more", secret=True)] = ""
    key_file: Annotated[str, about("file that holds raft.key", path=True)] = ""
    insecure: Annotated[bool, about("allow links beyond this host without raft.key")] = False
    snapshot_bytes: Annotated[
        int, about("bytes of log after which a snapshot is taken", ge=65_536, le=PORTABLE_INT_MAX)
    ] = 32 * 1024 * 1024

    @property
    def members(self) -> dict[str, Address]:
        """Node id to address, in the order of `peers`. Raises `ConfigError`; after `load` it cannot."""
        return parse_peers(self.peers)


class Votes(Section, frozen=True):
    dedup_window: Annotated[
        int, about("N: a vote's id is protected for the next N accepted ids", ge=1, le=8_000_000)
    ] = 1_000_000
    queue_bytes: Annotated[
        int,
        about(  # what never fits would be told to try again for ever
            "bytes of votes waiting in this node, beyond which 429 is answered; no less than the biggest request takes",
            ge=ENTRY_BYTES_MAX,
            le=PORTABLE_INT_MAX,
        ),
    ] = 64 * 1024 * 1024


class Flush(Section, frozen=True):
    interval_ms: Annotated[int, about("milliseconds between two flushes of the leader", ge=10, le=3_600_000)] = 1_000
    sink: Annotated[
        Literal["sqlite", "mongo", "none"], about("where tallies are written; sqlite: nodes of one host only")
    ] = "sqlite"
    path: Annotated[str, about("the SQLite file, one for all nodes", path=True)] = "data/ballots.db"
    timeout_ms: Annotated[int, about("deadline of one flush", ge=100, le=600_000)] = 10_000


class Mongo(Section, frozen=True):
    url: Annotated[str, about("mongodb:// address, with the password if there is one", secret=True)] = (
        "mongodb://127.0.0.1:27017"
    )
    url_file: Annotated[str, about("file that holds mongo.url", path=True)] = ""
    database: Annotated[str, about("database of the polls", min_length=1, max_length=63)] = "ballots"
    collection: Annotated[str, about("collection of the polls", min_length=1, max_length=120)] = "polls"
    poll_refresh_s: Annotated[int, about("seconds between two looks for polls inserted by hand", ge=1, le=86_400)] = 60


class Nsq(Section, frozen=True):
    lookupd: Annotated[list[str], about("nsqlookupd HTTP addresses, host:port; votes are then taken from NSQ")] = []
    nsqd: Annotated[list[str], about("nsqd TCP addresses, host:port, where there is no nsqlookupd")] = []
    topic: Annotated[str, about("topic of the votes", pattern=NSQ_NAME)] = "votes"
    channel: Annotated[str, about("channel that all nodes share", pattern=NSQ_NAME)] = "counter"
    max_in_flight: Annotated[int, about("messages taken and not yet finished, a node", ge=1, le=100_000)] = 200
    dead_letter: Annotated[
        str, about("topic for messages that are no votes; empty: only logged", pattern=NSQ_NAME_OR_NONE)
    ] = "votes_dead"
    lookupd_poll_s: Annotated[int, about("seconds between two questions to nsqlookupd", ge=1, le=3_600)] = 5
    auth_secret: Annotated[str, about("secret for an nsqd that asks for one", secret=True)] = ""
    auth_secret_file: Annotated[str, about("file that holds nsq.auth_secret", path=True)] = ""

    @property
    def enabled(self) -> bool:
        return bool(self.lookupd or self.nsqd)


class Consul(Section, frozen=True):
    address: Annotated[str, about("agent's host:port or URL; empty: no Consul")] = ""
    token: Annotated[str, about("ACL token", secret=True)] = ""
    token_file: Annotated[str, about("file that holds consul.token", path=True)] = ""
    service: Annotated[str, about("service name to register", pattern=NAME)] = "quorate"
    datacenter: Annotated[str, about("datacenter; empty: the agent's own")] = ""
    namespace: Annotated[str, about("namespace (Consul Enterprise); empty: none")] = ""
    check: Annotated[Literal["http", "ttl"], about("who checks health: the agent asks /readyz, or we report")] = "http"
    check_interval_s: Annotated[
        int, about("seconds between two checks, or the TTL; 0: 1 with http, 3 with ttl", ge=0, le=3_600)
    ] = 0
    deregister_after_s: Annotated[
        int, about("seconds critical after which Consul forgets the node", ge=60, le=604_800)
    ] = 600
    timeout_ms: Annotated[int, about("deadline of one call to the agent", ge=100, le=60_000)] = 2_000

    @property
    def interval_s(self) -> int:
        """A missed TTL hides a node that only stalled, so it is given more time than the agent's own question."""
        return self.check_interval_s or (3 if self.check == "ttl" else 1)


class Log(Section, frozen=True):
    level: Annotated[Literal["debug", "info", "warning", "error"], about("least severity that is written")] = "info"
    format: Annotated[Literal["text", "json"], about("one line a record: for people, or for machines")] = "text"
    file: Annotated[str, about("file to write to, begun anew if moved away; empty: standard error", path=True)] = ""


class Config(Section, frozen=True):
    """All settings of one node, each valid by itself and all checked against each other when it comes from `load`."""

    node: Node = Node()
    http: Http = Http()
    raft: Raft = Raft()
    votes: Votes = Votes()
    flush: Flush = Flush()
    mongo: Mongo = Mongo()
    nsq: Nsq = Nsq()
    consul: Consul = Consul()
    log: Log = Log()

    def members(self) -> dict[str, Address]:
        """All nodes of the cluster by id, this one too, also when it is alone."""
        return self.raft.members or {self.node.id: parse_address(self.raft.advertise or self.raft.listen)}

    def raft_address(self) -> Address:
        """Where peers reach this node."""
        return parse_address(self.raft.advertise) if self.raft.advertise else self.members()[self.node.id]


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one setting."""

    section: str
    key: str
    type: Any  # int, bool, str, list[str] or a Literal, without its Annotated
    meta: msgspec.Meta
    default: Any

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def env(self) -> str:
        return f"QUORATE_{self.section}_{self.key}".upper()

    @property
    def annotated(self) -> Any:
        return Annotated[self.type, self.meta]

    @property
    def secret(self) -> bool:
        return bool((self.meta.extra or {})["secret"])

    @property
    def path(self) -> bool:
        return bool((self.meta.extra or {})["path"])

    @property
    def choices(self) -> tuple[str, ...]:
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()

    def allowed(self) -> str:
        """The values it takes, in words that follow "give"."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type is int:
            return f"a whole number from {self.meta.ge:,} to {self.meta.le:,}"
        if self.type is bool:
            return "true or false"
        if isinstance(self.type, types.GenericAlias):
            return "a list of texts"
        if self.meta.pattern:
            return "a name of letters, digits, '.', '_' and '-', at most 64"
        return (
            f"a text of {self.meta.min_length} to {self.meta.max_length} characters"
            if self.meta.max_length
            else "a text"
        )


def _catalogue() -> dict[str, Setting]:
    found = {}
    for section, struct in typing.get_type_hints(Config).items():
        hints = typing.get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            type_, meta = typing.get_args(hints[field.name])
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            setting = Setting(section, field.name, type_, meta, default)
            found[setting.name] = setting
    return found


SETTINGS = _catalogue()
SECTIONS = tuple(dict.fromkeys(s.section for s in SETTINGS.values()))
