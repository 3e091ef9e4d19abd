"""What Consul lists under the name of our service, as far as it is a node's.

Whoever may write to Consul may have written it, and other programs register services of the same name by accident:
Consul then answers without any of what a node says of itself. So each entry is read alone, and what makes no sense is
passed over. Names and addresses are those that may be shown and dialled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from quorate.config import Address
from quorate.host_port import is_url, why_unreachable
from quorate.words import NAME


class _Service(msgspec.Struct, rename="pascal"):
    id: str = msgspec.field(name="ID")
    address: str = ""
    port: int = 0
    tags: list[str] | None = None
    meta: dict[str, str] | None = None


class _Agent(msgspec.Struct, rename="pascal"):
    address: str = ""


class _Listed(msgspec.Struct, rename={"service": "Service", "agent": "Node"}):
    service: _Service
    agent: _Agent


class Entry(msgspec.Struct, frozen=True):
    """One node. `raft` and `url` are "" if what stands there is no address."""

    node: str
    cluster: str
    cluster_id: str  # "" before its cluster was formed
    raft: str
    url: str
    leads: bool
    service_id: str


def read_entries(answer: object) -> list[Entry]:
    """The nodes in an answer of /v1/health/service."""
    return list(_entries(answer))


def _entries(answer: object) -> Iterator[Entry]:
    for each in answer if isinstance(answer, list) else ():
        try:
            listed = msgspec.convert(each, _Listed)
        except msgspec.ValidationError:
            continue
        service, meta = listed.service, listed.service.meta or {}
        names = meta.get("node", ""), meta.get("cluster", "")
        if not all(re.fullmatch(NAME, name) for name in names):
            continue
        yield Entry(
            *names,
            meta.get("cluster_id", ""),
            raft if why_unreachable(raft := meta.get("raft", "")) is None else "",
            _url(meta.get("http", ""), service.address or listed.agent.address, service.port),
            "leader" in (service.tags or ()),
            service.id,
        )


def _url(told: str, host: str, port: int) -> str:
    if told:
        return told if is_url(told) else ""
    address = str(Address(host, port))
    return f"http://{address}" if why_unreachable(address) is None else ""
