"""A real cluster on this machine that can be broken in every way, and mended again.

    with ChaosCluster(folder, 5) as cluster:
        mend = cluster.links.cut(["n1"], ["n2", "n3", "n4", "n5"])
        ...
        cluster.heal()

Nodes reach each other through `links`. Call what starts nodes from one thread that lives as long as the cluster: the
kernel kills a node when the thread that started it ends.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from quorate.chaos.nemeses.nemesis import NotNow
from quorate.chaos.proxies.links import Links
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import QUORATE, EndedAtStart, NodeProcess
from quorate.processes.waiting import NeverHappened

SIZES = (3, 5, 7)
HEAL_S = 60.0
LAG_MAX = 2_000  # entries that a node may lag behind under load, and still count as caught up
ASK_S = 1.0


class ChaosCluster(FreshCluster):
    def __init__(
        self,
        folder: Path,
        size: int = 3,
        settings: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        command: Sequence[str] = QUORATE,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        super().__init__(folder, size, settings, command=command, env=env, cwd=cwd)
        self.links = Links({node.id: node.place.raft.port for node in self.nodes}, seed=seed)
        peers = [f"{id}=127.0.0.1:{port}" for id, port in self.links.ports.items()]
        for node in self.nodes:
            node.settings["raft.peers"] = peers
        self._linked = False
        self._lock = threading.Lock()
        self._paused: set[str] = set()
        self._harmed: set[str] = set()

    def start(self) -> None:
        if not self._linked:
            self._linked = True
            self.links.start()
        super().start()

    def close(self) -> None:
        super().close()
        if self._linked:
            self.links.close()

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
        with self._lock:
            return set(self._paused)

    def harmed(self) -> set[str]:
        """Nodes whose disks lost something that was acknowledged, and that have not been brought up to date since."""
        with self._lock:
            return set(self._harmed)

    def cut_off(self) -> set[str]:
        """Nodes that can speak with less than a majority, because of the links."""
        ids = [node.id for node in self.nodes]
        return {id for id in ids if len(self.links.reached_by(id, ids)) + 1 < self.majority}

    def up(self) -> list[NodeProcess]:
        """Nodes that run and are not paused."""
        paused = self.paused()
        return [node for node in self.nodes if node.running and node.id not in paused]

    def leader_now(self) -> NodeProcess | None:
        """The node that leads the newest term, if one says so of itself. Asked once, and without a long wait."""
        leading = []
        for node in self.up():
            with contextlib.suppress(OSError, ValueError, KeyError):
                status, body, _ = node.ask("GET", "/leader", timeout_s=ASK_S)
                told = json.loads(body) if status == 200 else {}
                if told.get("id") == node.id:
                    leading.append((int(told["term"]), node))
        return max(leading, key=lambda found: found[0])[1] if leading else None

    # ---- what faults do to it ---------------------------------------------------------------------------------------

    def pause(self, nodes: Iterable[NodeProcess]) -> None:
        for node in nodes:
            with self._lock:
                self._paused.add(node.id)
            node.pause()

    def resume(self, nodes: Iterable[NodeProcess]) -> None:
        for node in nodes:
            node.resume()
            with self._lock:
                self._paused.discard(node.id)

    def kill(self, nodes: Sequence[NodeProcess]) -> None:
        """kill -9 of all of them at once."""
        for node in nodes:
            node.signal(signal.SIGKILL)
        for node in nodes:
            node.ended()
        with self._lock:
            self._paused -= {node.id for node in nodes}

    def start_again(self, nodes: Iterable[NodeProcess]) -> None:
        """Start those that do not run. They need not be ready."""
        for node in nodes:
            if not node.running:
                node.start()

    def harm(self, node: NodeProcess) -> None:
        """This node's disk is about to lose something. Raises `NotNow` if a majority would have lost something then."""
        with self._lock:
            if len(self._harmed | {node.id}) > self.minority:
                raise NotNow(f"the disks of {', '.join(sorted(self._harmed))} are harmed already")
            self._harmed.add(node.id)

    def recovered(self, node: NodeProcess) -> None:
        """This node's disk has all again."""
        with self._lock:
            self._harmed.discard(node.id)

    # ---- mending ----------------------------------------------------------------------------------------------------

    def heal(self, deadline_s: float = HEAL_S) -> None:
        """End every fault, start every node, and wait until the cluster is whole. Raises `NeverHappened`."""
        self.links.heal()
        self.resume(self.nodes)
        end_s = time.monotonic() + deadline_s
        while True:
            self.start_again(self.nodes)
            try:
                self.wait_ready()
                self.wait_whole(lag_max=LAG_MAX)
                break
            except (NeverHappened, EndedAtStart) as error:
                if time.monotonic() > end_s:
                    raise NeverHappened(str(error)) from error
        with self._lock:
            self._harmed.clear()
