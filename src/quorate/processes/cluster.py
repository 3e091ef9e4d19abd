"""A real cluster on loopback: one process a node, as `quorate node --config` starts it, in a folder of the test's.

    with Cluster(tmp_path) as cluster:
        cluster.leader().kill()

Leaving the block kills what still runs. A wait that fails shows the end of every node's log.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from quorate.client.http import Client
from quorate.config import to_toml
from tests.support.process import Process, free_ports
from tests.support.waiting import wait_for

T = TypeVar("T")
Answer = tuple[int, bytes, dict[str, str]]  # status, body, headers in lower case

READY_S = 30.0
ROOT = Path(__file__).parents[2]


class NodeProcess(Process):
    """One node: a process that can be asked over HTTP."""

    def __init__(
        self,
        node_id: str,
        folder: Path,
        port: int,
        settings: Mapping[str, Any],
        *,
        module: str = "quorate",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.id, self.folder, self.port = node_id, folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.config = folder / "quorate.toml"
        own = {"node.id": node_id, "node.data": str(folder), "http.listen": f"127.0.0.1:{port}"}
        self.settings = {**own, **settings}
        command = [sys.executable, "-m", module, "node", "--config", str(self.config)]
        super().__init__(node_id, command, folder / "node.log", env={"QUORATE_TRACEBACK": "1", **(env or {})}, cwd=ROOT)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_config()
        super().start()

    def write_config(self) -> None:
        self.config.write_text(to_toml(self.settings), encoding="utf-8")

    def ask(
        self, method: str, path: str, body: bytes = b"", timeout_s: float = 3.0
    ) -> tuple[int, bytes, dict[str, str]]:
        """One request on a connection of its own. OSError if nobody answers."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)) as connection:
            try:
                connection.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
                answer = connection.getresponse()
                return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
            except http.client.HTTPException as error:  # it died while it answered
                raise ConnectionError(f"{self.id}: {error!r}") from error

    def get(self, path: str) -> Any:
        """The JSON of a 200 answer, or None for any other and for no answer."""
        if not self.running:
            return None
        try:
            status, body, _ = self.ask("GET", path)
        except OSError:
            return None
        return json.loads(body) if status == 200 else None

    def is_ready(self) -> bool:
        assert self.running, f"ended at its start\n{self.tail()}"
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def wait_ready(self) -> None:
        wait_for(f"{self.id} is ready", self.is_ready, deadline_s=READY_S, seen=self.tail)

    def leads(self) -> bool:
        return (self.get("/leader") or {}).get("id") == self.id


class Cluster:
    """`module` is what runs each node, with `env` in its environment; by default, `quorate` itself."""

    def __init__(
        self,
        folder: Path,
        size: int = 3,
        settings: Mapping[str, Any] | None = None,
        *,
        module: str = "quorate",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.sqlite = folder / "ballots.db"
        ports = free_ports(2 * size)
        raft = {f"n{i}": f"127.0.0.1:{port}" for i, port in enumerate(ports[size:], 1)}
        common = {
            "raft.peers": [f"{node_id}={address}" for node_id, address in raft.items()],
            "raft.bootstrap": True,
            "flush.path": str(self.sqlite),
            "flush.interval_ms": 200,
            **(settings or {}),
        }
        self.nodes = [
            NodeProcess(
                node_id, folder / node_id, port, {**common, "raft.listen": raft[node_id]}, module=module, env=env
            )
            for node_id, port in zip(raft, ports, strict=False)
        ]

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start all nodes that do not run, and wait until each is ready."""
        for node in self.nodes:
            if not node.running:
                node.start()
        self.wait_ready()

    def wait_ready(self, nodes: Sequence[NodeProcess] | None = None) -> None:
        for node in self.nodes if nodes is None else nodes:
            self.wait_for(f"{node.id} is ready", node.is_ready, deadline_s=READY_S)

    def wait_whole(self, *, lag_max: int = 0) -> None:
        """Wait until every node reaches every other, and none lags: what a cluster is between two faults."""

        def is_whole() -> bool:
            seen = [(node.get("/nodes") or {}).get("nodes", []) for node in self.nodes]
            return all(len(s) == len(self.nodes) and all(m["reachable"] for m in s) and lag(s) <= lag_max for s in seen)

        def lag(members: list[dict[str, Any]]) -> int:
            """Entries between the newest that anyone has and the last that everyone has applied."""
            return max(int(m["log_index"]) for m in members) - min(int(m["log_index"] - m["lag"]) for m in members)

        self.wait_for("the cluster is whole", is_whole, deadline_s=READY_S)

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def __getitem__(self, node_id: str) -> NodeProcess:
        return next(node for node in self.nodes if node.id == node_id)

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    def client(self, timeout_s: float = 20.0) -> Client:
        return Client(self.urls, timeout_s=timeout_s)

    def wait_for(self, what: str, condition: Callable[[], T | None], *, deadline_s: float = 20.0) -> T:
        return wait_for(what, condition, deadline_s=deadline_s, seen=self.seen)

    def seen(self) -> str:
        return "\n".join(node.tail() for node in self.nodes)

    def leader(self, *, other_than: NodeProcess | None = None) -> NodeProcess:
        """The node that leads, once there is one."""

        def find() -> NodeProcess | None:
            return next((n for n in self.nodes if n is not other_than and n.running and n.leads()), None)

        return self.wait_for("a node leads", find)

    def followers(self) -> list[NodeProcess]:
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def results(self, poll_id: str) -> dict[str, Any] | None:
        """A poll's results when all nodes, each for itself, show the same at the same version; else None."""
        shown = [node.get(f"/polls/{poll_id}/results?level=none") for node in self.nodes]
        states = [(s["version"], s["results"], s["total"]) for s in shown if s is not None]
        return shown[0] if len(states) == len(self.nodes) and all(s == states[0] for s in states) else None

    def in_sqlite(self, poll_id: str) -> dict[str, int] | None:
        """What stands in the database, read as any program would."""
        if not self.sqlite.exists():
            return None
        with closing(sqlite3.connect(f"file:{self.sqlite}?mode=ro", uri=True, timeout=5)) as database:
            row = database.execute("select results from polls where id = ?", (poll_id,)).fetchone()
        return json.loads(row[0]) if row else None
