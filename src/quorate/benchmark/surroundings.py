"""What a measurement found before it began: which nodes, what the cluster is for, and what bounds the figures."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from quorate.benchmark.bench_poll import leftovers
from quorate.benchmark.stages import StageFigures
from quorate.client.http import JsonClient
from quorate.errors import Forbidden, NeedsLevel, QuorateError
from quorate.words import count

BUSY = 0.8  # of one core: a client that takes so much may be what is measured
OPEN_POLLS = {"state": "open", "limit": 100}
WINDOW_SHARE = 2  # ids of a measurement fill at most half of what is protected


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`asked`: id -> URL of the nodes that votes are sent to. `status` is one node's, of those."""

    members: Sequence[Mapping[str, Any]]
    leader: str
    asked: Mapping[str, str]
    passed_over: Mapping[str, str]  # URL -> why
    status: Mapping[str, Any]
    version: str  # of Quorate
    open_polls: Sequence[str]
    load: float = 0.0  # of this machine: how many processes wanted a core, before
    old_polls: Sequence[str] = field(default=())

    @property
    def is_dev(self) -> bool:
        """All members are on this host only, as those of `quorate dev` are."""
        return all(_is_loopback(urlsplit(member["http"]).hostname or "") for member in self.members)

    @property
    def protected_ids(self) -> int:
        """How many ids the cluster remembers of this caller's votes."""
        dedup = self.status.get("state", {}).get("dedup", {})
        return int(self.status.get("caller", {}).get("protected_ids") or dedup.get("size") or 1_000_000)

    @property
    def ids_max(self) -> int:
        return self.protected_ids // WINDOW_SHARE

    def settings(self) -> dict[str, Any]:
        """What matters to the figures, of one node. A token that may not see a setting leaves it out."""
        config = self.status.get("config", {})
        raft, http = config.get("raft", {}), config.get("http", {})
        links = "TLS" if raft.get("tls_cert") else "shared key" if raft.get("key") or raft.get("key_file") else "open"
        return {
            "version": self.version,
            "nodes": len(self.members),
            "links": links if config else None,
            "https": bool(http.get("tls_cert")) if config else next(iter(self.asked.values()), "").startswith("https"),
            "election_timeout_ms": self.status.get("raft", {}).get("election_timeout_ms"),
            "snapshot_bytes": raft.get("snapshot_bytes"),
            "protected_ids": self.protected_ids,
            "sinks": list(self.status.get("sinks", {})),
        }

    def check_role(self) -> None:
        """Raises `Forbidden` if the token may not make the poll. Who has none is told that by the node."""
        who = self.status.get("caller", {})
        if who.get("role") in ("read", "vote"):
            raise Forbidden(f"the token {who['token']} has the role {who['role']}, and this needs manage, for a poll")


def look_around(client: JsonClient, ask: Callable[[str], JsonClient]) -> Surroundings:
    """`ask` gives the client for one node."""
    found = client.members()
    asked: dict[str, str] = {}
    passed_over: dict[str, str] = {}
    cluster = ""
    status: Mapping[str, Any] = {}
    version = ""
    for url in client.nodes:
        try:
            with ask(url) as one:
                told = one.status()
                version = version or one.request("GET", "/version").json()["version"]
        except QuorateError as error:
            passed_over[url] = error.detail or error.title
            continue
        its = str(told.get("raft", {}).get("cluster_id") or told.get("state", {}).get("cluster_id") or "")
        if cluster and its and its != cluster:
            passed_over[url] = "it is of another cluster"
        elif (name := str(told["node"])) in asked:
            passed_over[url] = f"it is {name}, which is asked already"
        else:
            asked[name] = url
            cluster, status = cluster or its, status or told
    if status.get("raft", {}).get("feature_level") == 0:
        raise NeedsLevel("the poll of a measurement could not be removed: nodes of 0.1.0 are in the cluster")
    polls = [poll["id"] for poll in client.request("GET", "/polls", params=OPEN_POLLS).json()["polls"]]
    old = leftovers(polls)
    others = [id for id in polls if id not in old]
    return Surroundings(
        found["nodes"], client.leader()["id"], asked, passed_over, status, version, others, os.getloadavg()[0], old
    )


def costs(found: Surroundings, stages: Sequence[int], seconds: float) -> list[str]:
    """What a measurement takes from a cluster that others use, in sentences."""
    dedup = found.status.get("caller", {}).get("share", 0)
    whose = "of this token's share " if dedup else ""
    return [
        f"For {seconds:,.0f} s it sends votes as fast as they are confirmed ({count(len(stages), 'stage')}): "
        "other clients wait longer meanwhile.",
        f"The ids of its votes take at most {found.ids_max:,} of the {found.protected_ids:,} places {whose}in the "
        "window of protected ids: real votes from before are protected for so many fewer.",
        "Its votes stand in the log of every node until the next snapshot, and its poll in the sinks until the end.",
    ]


def bounds(found: Surroundings, stages: Sequence[StageFigures]) -> list[str]:
    """What else may bound the figures, in sentences."""
    here = [id for id, url in found.asked.items() if is_here(urlsplit(url).hostname or "")]
    said = []
    if here:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        shared = "its one core" if cores == 1 else f"its {cores} cores"
        said.append(f"this client runs on the same machine as {', '.join(here)}, and takes from {shared}")
        if found.load > cores / 2:
            said.append(f"this machine was busy before it began: a load of {found.load:.1f} on {count(cores, 'core')}")
    if busy := [each for each in stages if each.client_cpu > BUSY]:
        said.append(
            f"this client took {max(each.client_cpu for each in busy):.0%} of one core (with "
            f"{' and '.join(str(each.clients) for each in busy)} clients): it may be what was measured"
        )
    if over := [each for each in stages if each.refused.get("over-rate")]:
        who = found.status.get("caller", {}).get("token")
        rate = f"the token {who}" if who else "an address without a token"
        said.append(f"{rate} has a rate, which refused {sum(each.refused['over-rate'] for each in over):,} requests")
    if short := [each for each in stages if each.ended_early]:
        said.append(
            f"{' and '.join(str(each.clients) for each in short)} clients ended early: more ids would take more than "
            f"half of the {found.protected_ids:,} that are protected"
        )
    missing = [str(member["id"]) for member in found.members if member["id"] not in found.asked]
    if missing:
        said.append(f"no votes were sent to {', '.join(missing)}: name all nodes by --node to spread the load")
    return said


def is_here(host: str) -> bool:
    """Whether the host is this machine: then its address can be bound."""
    if _is_loopback(host):
        return True
    with contextlib.suppress(OSError, UnicodeError):
        for family, kind, _, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            with contextlib.suppress(OSError), socket.socket(family, kind) as probe:
                probe.bind(address)
                return True
    return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
