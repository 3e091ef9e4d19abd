"""A real cluster whose nodes open the door for Redis clients too, each on a port of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorate.processes.ports import free_ports
from tests.support.cluster import Cluster


class RespCluster(Cluster):
    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None, *, token: str | None = None) -> None:
        super().__init__(folder, settings=settings, token=token)
        self.resp_ports = free_ports(len(self.nodes))
        for node, port in zip(self.nodes, self.resp_ports, strict=True):
            node.settings["resp.listen"] = f"127.0.0.1:{port}"
