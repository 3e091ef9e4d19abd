"""All nodes on 127.0.0.1, with relays between them: the network that needs nothing of its machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorate.chaos.proxies.links import HOST, Links
from quorate.config import Address
from quorate.processes.node import Place
from quorate.processes.ports import free_ports


class RelayNetwork:
    def __init__(self, *, seed: int = 0) -> None:
        self.links = Links({}, seed=seed)
        self.settings: Mapping[str, Any] = {}

    def place(self, id: str, folder: Path) -> Place:
        http, raft, resp = free_ports(3)
        self.links.add(id, raft)
        return Place.local(id, folder, http, raft, resp)

    def drop(self, id: str) -> None:
        self.links.drop(id)

    def start(self) -> None:
        self.links.start()

    def close(self) -> None:
        self.links.close()

    def addresses(self) -> dict[str, Address]:
        """Their relays."""
        return {id: Address(HOST, port) for id, port in self.links.ports.items()}

    def move(self, id: str) -> Address:
        """Another port, with a relay before it."""
        (raft,) = free_ports(1)
        self.links.add(id, raft)
        return Address(HOST, raft)

    def doors(self, id: str) -> dict[str, int]:
        """A relay cannot read who dials it, so each dialler gets doors of its own."""
        return {other: self.links.door(id, other) for other in self.links.ports if other != id}
