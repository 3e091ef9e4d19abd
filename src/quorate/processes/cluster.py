"""Several node processes of one cluster, and a cluster made from nothing on free ports of 127.0.0.1.

    with FreshCluster(folder) as cluster:
        cluster.leader().kill()

Leaving the block kills what still runs. A wait that fails shows the end of every node's output.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from quorate.client.http import JsonClient
from quorate.processes.node import QUORATE, NodeProcess, Place
from quorate.processes.ports import free_ports
from quorate.processes.process import STOP_S, Lifeline
from quorate.processes.waiting import DEADLINE_S, NeverHappened, wait_for

T = TypeVar("T")
KILLED_S = 2.0


class NodeCluster:
    def __init__(self, nodes: Sequence[NodeProcess]) -> None:
        self.nodes = list(nodes)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getitem__(self, node_id: str) -> NodeProcess:
        return next(node for node in self.nodes if node.id == node_id)

    # ---- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all nodes that do not run, and wait until each is ready."""
        for node in self.nodes:
            if not node.running:
                node.start()
        self.wait_ready()

    def stop(self, deadline_s: float = STOP_S, *, at_once: bool = False) -> None:
        """Ask all nodes to stop, also those started by hand, and kill those that still run at the deadline."""
        self._signal(signal.SIGKILL if at_once else signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a paused process does not hear the other signal
        try:
            wait_for("all nodes have ended", lambda: not self.holders(), deadline_s=KILLED_S if at_once else deadline_s)
        except NeverHappened:
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill what we started. Idempotent."""
        for node in self.nodes:
            node.close()

    def holders(self) -> list[int]:
        """The processes that run these nodes now, also those started by hand."""
        return [pid for node in self.nodes if (pid := node.holder()) is not None]

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.holders():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    # ---- what it is -------------------------------------------------------------------------------------------------

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    @property
    def resp_ports(self) -> list[int]:
        return [node.place.resp.port for node in self.nodes if node.place.resp is not None]

    def client(self, timeout_s: float = 20.0) -> JsonClient:
        return JsonClient(self.urls, timeout_s=timeout_s, token=self.nodes[0].token, ca=self.nodes[0].ca)

    def wait_for(self, what: str, condition: Callable[[], T | None], *, deadline_s: float = DEADLINE_S) -> T:
        return wait_for(what, condition, deadline_s=deadline_s, seen=self.seen)

    def seen(self) -> str:
        return "\n".join(node.tail() for node in self.nodes)

    def wait_ready(self, nodes: Sequence[NodeProcess] | None = None) -> None:
        for node in self.nodes if nodes is None else nodes:
            self.wait_for(f"{node.id} is ready", node.is_ready)

    def wait_whole(self, *, lag_max: int = 0) -> None:
        """Wait until all know one leader, every node reaches every other and none lags: as between two faults."""

        def is_whole() -> bool:
            answers = [node.get("/nodes") or {} for node in self.nodes]
            seen = [answer.get("nodes", []) for answer in answers]
            leaders = {answer.get("leader") for answer in answers}
            if None in leaders or len(leaders) > 1:
                return False
            return all(len(s) == len(self.nodes) and all(m["reachable"] for m in s) and lag(s) <= lag_max for s in seen)

        def lag(members: list[dict[str, Any]]) -> int:
            """Entries between the newest that a node has and the last that every node has applied."""
            return max(int(m["log_index"]) for m in members) - min(int(m["log_index"] - m["lag"]) for m in members)

        self.wait_for("the cluster is whole", is_whole)

    def leader(self, *, other_than: NodeProcess | None = None) -> NodeProcess:
        """The node that leads, once there is one."""

        def find() -> NodeProcess | None:
            return next((n for n in self.nodes if n is not other_than and n.running and n.leads()), None)

        return self.wait_for("a node leads", find)

    def followers(self) -> list[NodeProcess]:
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def results(self, poll_id: str) -> dict[str, Any] | None:
        """A poll's results if all nodes show the same at the same version, each from its own state; else None."""
        shown = [node.get(f"/polls/{poll_id}/results?level=none") for node in self.nodes]
        states = [(s["version"], s["results"], s["total"]) for s in shown if s is not None]
        return shown[0] if len(states) == len(self.nodes) and all(s == states[0] for s in states) else None


class FreshCluster(NodeCluster):
    """A new cluster in `folder`: a folder a node, and the SQLite sink beside them. `command` runs each node.

    `token` is sent with what is asked of the nodes, by this object and its clients. With `ca` they speak TLS. `places`
    are for nodes that are not to be on free ports of 127.0.0.1. With `resp` each has a door for Redis clients.
    """

    def __init__(
        self,
        folder: Path,
        size: int = 3,
        settings: Mapping[str, Any] | None = None,
        *,
        command: Sequence[str] = QUORATE,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        token: str | None = None,
        ca: str | None = None,
        places: Sequence[Place] | None = None,
        resp: bool = False,
    ) -> None:
        self.folder = folder
        self.sqlite = folder / "ballots.db"
        self._lifeline = Lifeline()
        places = _places(folder, size, resp) if places is None else places
        common = {
            "raft.peers": [f"{place.id}={place.raft}" for place in places],
            "raft.bootstrap": True,
            "sqlite.path": str(self.sqlite),
            "flush.interval_ms": 200,
            **(settings or {}),
        }
        super().__init__(
            [
                NodeProcess(
                    place, common, command=command, env=env, cwd=cwd, lifeline=self._lifeline, token=token, ca=ca
                )
                for place in places
            ]
        )

    def close(self) -> None:
        super().close()
        self._lifeline.close()


def _places(folder: Path, size: int, resp: bool) -> list[Place]:
    ports = free_ports((3 if resp else 2) * size)
    names = [f"n{number}" for number in range(1, size + 1)]
    return [
        Place.local(name, folder / name, http, raft, ports[2 * size + number] if resp else None)
        for number, (name, http, raft) in enumerate(zip(names, ports[:size], ports[size : 2 * size], strict=True))
    ]
