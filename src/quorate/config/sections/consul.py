"""[consul]: the agent with which a node registers, and by which nodes find each other."""

from __future__ import annotations

from typing import Annotated, Literal

from quorate.config.section import Section, about
from quorate.shown import without_password
from quorate.words import NAME


class Consul(Section, frozen=True):
    address: Annotated[str, about("agent's host:port or URL; empty: no Consul")] = ""
    token: Annotated[str, about("ACL token", secret=True)] = ""
    token_file: Annotated[str, about("file that holds consul.token", path=True)] = ""
    service: Annotated[str, about("service name to register", pattern=NAME, scope="alike")] = "quorate"
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
    def shown_address(self) -> str:
        """The address without a password."""
        return without_password(self.address)

    @property
    def interval_s(self) -> int:
        """A TTL is longer than the agent's interval: a node that misses it is hidden, even if it only stalled."""
        return self.check_interval_s or (3 if self.check == "ttl" else 1)
