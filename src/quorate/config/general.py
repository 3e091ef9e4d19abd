"""The sections that every node has, whatever adapters it uses: node, http, auth, raft, votes, flush, log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from quorate.config.adapter_table import sink_names
from quorate.config.address import Address, parse_address, parse_addresses, parse_peers, told_address
from quorate.config.section import PORTABLE_INT_MAX, Section, about
from quorate.security.roles import ROLES, RouteRole, highest
from quorate.vote import ENTRY_BYTES_MAX
from quorate.words import NAME


class Node(Section, frozen=True):
    id: Annotated[str, about("name of this node, as raft.peers has it", pattern=NAME)] = "n1"
    data: Annotated[str, about("folder of this node's log and snapshots, its own", path=True, min_length=1)] = "data/n1"
    cluster: Annotated[str, about("name of the cluster; nodes of another name are refused", pattern=NAME)] = "quorate"


class Http(Section, frozen=True):
    listen: Annotated[str, about("host:port to serve HTTP on; [::] takes IPv4 too", several=True)] = "127.0.0.1:8001"
    advertise: Annotated[str, about("URL by which others reach it; empty: made from http.listen")] = ""
    hosts: Annotated[
        list[str],
        about("further names that it is asked by, as votes.example: behind a proxy, that of the pages and of Host"),
    ] = msgspec.field(default_factory=list)
    tls_cert: Annotated[
        str, about("certificate in PEM, with its chain: HTTPS alone is served; read again when it changes", path=True)
    ] = ""
    tls_key: Annotated[str, about("its private key in PEM; empty: in http.tls_cert too", path=True)] = ""
    insecure: Annotated[bool, about("allow whoever reaches http.listen beyond this host without auth.file")] = False
    threads: Annotated[int, about("threads for the routes that may block", ge=1, le=256)] = 8
    connections_max: Annotated[
        int, about("open connections; beyond it idle ones are closed, or 503 is answered", ge=1, le=1_000_000)
    ] = 10_000
    address_percent: Annotated[
        int,
        about(
            "percent of the connections and of the streams that one address may hold; 0: all where http.hosts says "
            "that a proxy asks for others, else 25; clients on this host may always hold all",
            ge=0,
            le=100,
        ),
    ] = 0
    events_max: Annotated[int, about("open /events streams, beyond which 503 is answered", ge=0, le=100_000)] = 1_000
    keep_alive_s: Annotated[int, about("seconds an idle connection is kept", ge=1, le=3_600)] = 75
    timeout_ms: Annotated[int, about("how long a request waits for its outcome", ge=10, le=600_000)] = 5_000
    drain_s: Annotated[int, about("seconds to finish what is in flight at stop", ge=0, le=600)] = 5

    @property
    def url(self) -> str:
        """The URL for other nodes and clients. For a wildcard address `check` asks for http.advertise."""
        return self.advertise.rstrip("/") or f"{self.scheme}://{told_address(self.addresses)}"

    @property
    def scheme(self) -> Literal["http", "https"]:
        return "https" if self.tls_cert else "http"

    @property
    def tls_pair(self) -> tuple[Path, Path] | None:
        """The files of the certificate and of its key; None: plain HTTP."""
        return (Path(self.tls_cert), Path(self.tls_key or self.tls_cert)) if self.tls_cert else None

    @property
    def addresses(self) -> list[Address]:
        return parse_addresses(self.listen)

    @property
    def share_percent(self) -> int:
        """`address_percent`, or what it means when it is 0. A proxy's clients all come from the proxy's address."""
        return self.address_percent or (100 if self.hosts else 25)


class Resp(Section, frozen=True):
    listen: Annotated[
        str,
        about("host:port to serve Redis' protocol (RESP) on; empty: not at all; [::] takes IPv4 too", several=True),
    ] = ""
    advertise: Annotated[str, about("host:port by which cluster clients reach it; empty: resp.listen")] = ""
    timeout_ms: Annotated[
        int,
        about("how long a command waits for its outcome; clients often wait for 5 s", ge=10, le=60_000),
    ] = 3_000
    allow_unkeyed: Annotated[
        bool,
        about("count commands without an id (HINCRBY, XADD without IDMP), which clients may send again by themselves"),
    ] = False

    @property
    def addresses(self) -> list[Address]:
        """None if it does not listen."""
        return parse_addresses(self.listen) if self.listen else []

    @property
    def told(self) -> Address | None:
        """What cluster clients are told; None if it does not listen."""
        if self.advertise:
            return parse_address(self.advertise)
        return told_address(self.addresses) if self.listen else None


def anonymous_roles() -> list[str]:
    return ["auto", *ROLES]


class Auth(Section, frozen=True):
    file: Annotated[
        str,
        about(
            "TOML file of tokens, each with name, role and hash; `quorate token new` writes it. What is in it should "
            "be alike, wherever it is",
            path=True,
            scope="alike",
        ),
    ] = ""
    anonymous: Annotated[
        list[str],
        about(
            "roles that need no token; auto: all where only this host can ask, but read and vote where http.hosts is "
            "set, and none where other hosts can ask",
            names=anonymous_roles,
            scope="alike",
        ),
    ] = msgspec.field(default_factory=lambda: ["auto"])

    anonymous_rate: Annotated[
        int,
        about(
            "votes a second of one address without a token, beyond which 429 is answered; any other request counts as "
            "one; 0: no bound, which clients on this host never have. Behind a proxy on another host leave it at 0",
            ge=0,
            le=1_000_000,
        ),
    ] = 0

    def anonymous_role(self, http: Http, resp: Resp) -> RouteRole:
        """What a caller without a token may do at a node that listens as `http` and `resp` say."""
        if self.anonymous != ["auto"]:
            return highest(role for role in ROLES if role in self.anonymous)
        if all(address.is_loopback for address in (*http.addresses, *resp.addresses)):
            return "vote" if http.hosts else "operate"
        return "operate" if http.insecure and not self.file else "public"


class Raft(Section, frozen=True):
    listen: Annotated[str, about("host:port for the links between nodes; [::] takes IPv4 too", several=True)] = (
        "127.0.0.1:9001"
    )
    advertise: Annotated[str, about("host:port by which peers reach it; empty: its own in raft.peers")] = ""
    peers: Annotated[list[str], about("all nodes, this one too, each id=host:port; empty: this node alone")] = (
        msgspec.field(default_factory=list)
    )
    bootstrap: Annotated[bool, about("form a new cluster if the data folder is empty")] = False
    bootstrap_expect: Annotated[
        int, about("instead of peers: form a new cluster of so many nodes that find each other in Consul", ge=0, le=99)
    ] = 0
    election_timeout_ms: Annotated[
        int,
        about("silence of the leader after which a follower asks for ballots", ge=100, le=60_000, scope="alike"),
    ] = 500
    key: Annotated[str, about("secret shared by all nodes of the cluster; openssl rand -hex 32", secret=True)] = ""
    key_file: Annotated[str, about("file that holds raft.key", path=True)] = ""
    key_old: Annotated[str, about("second key, taken too while raft.key is exchanged on all nodes", secret=True)] = ""
    key_old_file: Annotated[str, about("file that holds raft.key_old", path=True)] = ""
    tls_cert: Annotated[
        str,
        about("PEM file of this node's certificate for the links; its name is node.id; instead of raft.key", path=True),
    ] = ""
    tls_key: Annotated[str, about("PEM file of the key of raft.tls_cert", path=True)] = ""
    tls_ca: Annotated[str, about("PEM file of the authority that signs the certificates of all nodes", path=True)] = ""
    insecure: Annotated[bool, about("allow links beyond this host without raft.key")] = False
    snapshot_bytes: Annotated[
        int, about("bytes of log after which a snapshot is taken", ge=65_536, le=PORTABLE_INT_MAX)
    ] = 32 * 1024 * 1024

    @property
    def addresses(self) -> list[Address]:
        return parse_addresses(self.listen)

    @property
    def members(self) -> dict[str, Address]:
        """Node id to address, in the order of `peers`. Raises `ConfigError`; after `load` it cannot."""
        return parse_peers(self.peers)


class Votes(Section, frozen=True):
    dedup_window: Annotated[
        int,
        about(
            "N: a vote's id is protected for the next N accepted ids (of a token with a share: for the next 300,000 of "
            "that share); later changed by `quorate settings set`",
            ge=1,
            le=8_000_000,
            scope="cluster",
        ),
    ] = 1_000_000
    queue_bytes: Annotated[
        int,
        about(  # a request bigger than the queue would be refused with "try again" for ever
            "bytes of votes waiting in this node, beyond which 429 is answered; no less than the biggest request takes",
            ge=ENTRY_BYTES_MAX,
            le=PORTABLE_INT_MAX,
        ),
    ] = 64 * 1024 * 1024


class Flush(Section, frozen=True):
    interval_ms: Annotated[
        int, about("milliseconds between two flushes of the leader", ge=10, le=3_600_000, scope="alike")
    ] = 1_000
    sinks: Annotated[
        list[str],
        about(
            "where tallies are written; empty: nowhere; sqlite: nodes of one host only",
            names=sink_names,
            scope="alike",
        ),
    ] = msgspec.field(default_factory=lambda: ["sqlite"])
    sink: Annotated[
        Literal["", "sqlite", "mongo", "none"],
        about("old name of flush.sinks, for one sink", replaced_by="flush.sinks"),
    ] = ""
    path: Annotated[str, about("old name of sqlite.path", path=True, replaced_by="sqlite.path")] = ""
    timeout_ms: Annotated[int, about("deadline of one flush", ge=100, le=600_000, scope="alike")] = 10_000


class Traces(Section, frozen=True):
    url: Annotated[
        str, about("collector of OpenTelemetry, as http://127.0.0.1:4318; empty: none; needs the extra otel")
    ] = ""
    ratio: Annotated[float, about("share of requests that are traced although no caller asks", ge=0, le=1)] = 0.01


class Log(Section, frozen=True):
    level: Annotated[Literal["debug", "info", "warning", "error"], about("least severity that is written")] = "info"
    format: Annotated[
        Literal["auto", "text", "json"],
        about("one line a record: for people, or for machines. auto: text on a terminal, JSON elsewhere"),
    ] = "auto"
    file: Annotated[str, about("file to write to, begun anew if moved away; empty: standard error", path=True)] = ""
