"""A real cluster in which links can be cut: their connections stay open and carry nothing.

The nodes run without a victim. Whoever breaks more than links takes `ChaosCluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from quorate.chaos.proxies.links import HOST, Links
from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster


class CutCluster(Cluster):
    """Nodes reach each other through `links`. There is one cut at a time: another one takes its place."""

    def __init__(self, folder: Path, size: int = 3, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, size, settings)
        self.links = Links({node.id: node.place.raft.port for node in self.nodes})
        self._mend: Callable[[], None] | None = None
        for node in self.nodes:
            node.settings["raft.peers"] = [f"{id}={HOST}:{port}" for id, port in self.links.ports.items()]

    def __enter__(self) -> Self:
        self.links.start()
        return super().__enter__()

    def close(self) -> None:
        super().close()
        self.links.close()

    def cut(self, some: Iterable[NodeProcess], others: Iterable[NodeProcess]) -> None:
        """Let nothing through between any of `some` and any of `others`."""
        mend, self._mend = self._mend, self.links.cut([node.id for node in some], [node.id for node in others])
        if mend is not None:
            mend()
