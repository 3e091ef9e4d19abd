"""Nodes that can be killed, paused and cut off, whatever program they run.

`ChaosCluster` is made of these. So are the clusters of other systems in `bench/elsewhere/`, which therefore suffer from
the same faults: the nemeses of processes, partitions and links ask for nothing else.
"""

from __future__ import annotations

import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from quorate.chaos.link_faults import LinkFaults


class BreakableNode(Protocol):
    """As `NodeProcess` has it."""

    @property
    def id(self) -> str: ...

    @property
    def running(self) -> bool: ...

    def start(self) -> None: ...

    def is_ready(self) -> bool: ...

    def signal(self, number: int) -> None: ...

    def ended(self) -> int: ...

    def stop(self) -> int: ...

    def kill(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


P = TypeVar("P", bound=BreakableNode)


class BreakableNodes(ABC, Generic[P]):
    """The part of a cluster that faults see. The class of the cluster makes `nodes`, and `links` between them."""

    nodes: list[P]
    links: LinkFaults

    def __init__(self) -> None:
        self._paused: set[str] = set()
        self._paused_lock = threading.Lock()

    # ---- how it is now ----------------------------------------------------------------------------------------------

    @property
    def majority(self) -> int:
        return len(self.nodes) // 2 + 1

    @property
    def minority(self) -> int:
        """As many nodes as may be down at once."""
        return len(self.nodes) - self.majority

    def down(self) -> set[str]:
        return {node.id for node in self.nodes if not node.running}

    def paused(self) -> set[str]:
        with self._paused_lock:
            return set(self._paused)

    def cut_off(self) -> set[str]:
        """Nodes that can speak with less than a majority, because of the links."""
        ids = [node.id for node in self.nodes]
        return {id for id in ids if len(self.links.reached_by(id, ids)) + 1 < self.majority}

    def up(self) -> list[P]:
        """Nodes that run and are not paused."""
        paused = self.paused()
        return [node for node in self.nodes if node.running and node.id not in paused]

    @abstractmethod
    def leader_now(self) -> P | None:
        """The node that leads, if one says so of itself. Asked once, and without a long wait."""

    # ---- what faults do to it ---------------------------------------------------------------------------------------

    def pause(self, nodes: Iterable[P]) -> None:
        for node in nodes:
            with self._paused_lock:
                self._paused.add(node.id)
            node.pause()

    def resume(self, nodes: Iterable[P]) -> None:
        for node in nodes:
            node.resume()
            with self._paused_lock:
                self._paused.discard(node.id)

    def kill(self, nodes: Sequence[P]) -> None:
        """kill -9 of all of them at once."""
        for node in nodes:
            node.signal(signal.SIGKILL)
        for node in nodes:
            node.ended()
        with self._paused_lock:
            self._paused -= {node.id for node in nodes}

    def start_again(self, nodes: Iterable[P]) -> None:
        """Start those that do not run. They need not be ready."""
        for node in nodes:
            if not node.running:
                node.start()

    def start_stopped(self) -> None:
        self.start_again(self.nodes)
