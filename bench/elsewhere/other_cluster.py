"""A cluster of another system: how it begins, is mended and ends."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, Self, TypeVar

from quorate.chaos.breakable import BreakableNode, BreakableNodes
from quorate.chaos.proxies.links import Links


class OtherNode(BreakableNode, Protocol):
    def close(self) -> None: ...


N = TypeVar("N", bound=OtherNode)


class OtherCluster(BreakableNodes[N]):
    links: Links

    def __enter__(self) -> Self:
        try:
            self.links.start()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self.links.close()

    def heal(self) -> None:
        """Raises `NeverHappened`."""
        self.links.heal()
        self.resume(self.nodes)
        self.start_again(self.nodes)
        self._wait_whole()

    @abstractmethod
    def _start(self) -> None:
        """Start the nodes, and wait until the cluster is whole. The links are up."""

    @abstractmethod
    def _wait_whole(self) -> None:
        """Raises `NeverHappened`."""
