"""A cluster whose metrics are read: by how much each has changed, and that nothing fell that only grows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from quorate.processes.node import NodeProcess
from quorate.processes.waiting import NeverHappened
from tests.support.cluster import Cluster
from tests.support.scraping import Samples, crooked, fallen, samples_of

Key = tuple[str, ...]  # whose ("leader", "follower", "each", "sum"), the metric, and the values of its labels
Changes = Mapping[Key, float]
WINDOW = 5_000
TIMEOUT_MS = 3_000  # a busy machine makes nodes wait for more than the usual time, and elections are counted
SETTINGS = {"votes.dedup_window": WINDOW, "raft.election_timeout_ms": TIMEOUT_MS}
VOTES, REQUESTS, ACCEPTED = "quorate_votes_total", "quorate_http_requests_total", "quorate_dedup_accepted_total"
INDEXES = [(f"quorate_raft_{name}_index",) for name in ("last", "synced", "commit", "applied")]


class NotYet(Exception):
    """A scrape does not have what it will have: a follower is a moment behind, or what was done is not counted yet."""


class Watched:
    """A cluster whose metrics are read, and whose nodes are told apart by what they are now."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._texts: dict[tuple[str, int | None], str] = {}
        self.leader = cluster.leader()

    @property
    def follower(self) -> NodeProcess:
        return next(node for node in self.cluster.nodes if node is not self.leader)

    def scrape(self, node: NodeProcess) -> Samples:
        status, body, _ = node.ask("GET", "/metrics", timeout_s=10)
        assert 200 == status
        text, process = body.decode(), (node.id, node.pid)
        assert [] == fallen(self._texts.get(process, ""), text)
        assert [] == crooked(text)
        self._texts[process] = text
        return samples_of(text)

    def all(self) -> dict[str, Samples]:
        return {node.id: self.scrape(node) for node in self.cluster.nodes if node.running}

    def at_rest(self) -> dict[str, Samples]:
        """What the nodes show when all have applied the same. Otherwise one that is behind changes by more than is done
        from now on."""
        found: dict[str, Samples] = {}

        def have_the_same() -> bool:
            found.update(self.all())
            return 1 == len({samples[name] for samples in found.values() for name in INDEXES})

        self.cluster.wait_for("all indexes are equal", have_the_same)
        return found

    def ask(self, node: NodeProcess, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        status, answer, _ = node.ask(method, path, b"" if body is None else json.dumps(body).encode(), timeout_s=20)
        assert expect == status, answer
        return json.loads(answer) if answer.startswith((b"{", b"[")) else answer

    def vote(self, node: NodeProcess, *ids: str, option: str = "happy", poll: str = "mood", expect: int = 200) -> None:
        for id in ids:
            self.ask(node, "POST", "/votes", {"option": option, "poll": poll, "id": id}, expect)

    def changes(self, before: Mapping[str, Samples], wanted: Changes) -> Changes:
        now = self.all()
        return {key: self._change(key, before, now) for key in wanted}

    def _change(self, key: Key, before: Mapping[str, Samples], now: Mapping[str, Samples]) -> float:
        whose, *metric = key
        if not any(tuple(metric) in samples for samples in now.values()):
            raise NotYet(f"no node shows {metric}")
        found = {id: now[id].get(tuple(metric), 0.0) - before[id].get(tuple(metric), 0.0) for id in now if id in before}
        if whose == "sum":
            return sum(found.values())
        if whose == "each":
            if 1 != len(set(found.values())):
                raise NotYet(f"{key} changes by {found}")
            return next(iter(found.values()))
        return found[self.leader.id if whose == "leader" else self.follower.id]


def wait_for_changes(watched: Watched, before: Mapping[str, Samples], wanted: Changes) -> None:
    seen: list[Changes | str] = [""]

    def is_true() -> bool:
        try:
            seen[0] = watched.changes(before, wanted)
        except NotYet as why:
            seen[0] = str(why)
        return seen[0] == dict(wanted)

    try:
        watched.cluster.wait_for("the metrics say what was done", is_true)
    except NeverHappened:
        assert dict(wanted) == seen[0]
        raise


@pytest.fixture
def watched(watched_by_all: Watched) -> Watched:
    """The cluster is whole, whatever became of it in the test before, and it is known who leads now."""
    watched_by_all.cluster.start()
    watched_by_all.cluster.wait_whole()
    watched_by_all.leader = watched_by_all.cluster.leader()
    return watched_by_all


@pytest.fixture(scope="module")
def watched_by_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Cluster(tmp_path_factory.mktemp("true"), settings=SETTINGS) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
            client.create_poll("over", ["yes", "no"])
            client.set_poll_state("over", "closed")
        cluster.wait_whole()
        yield Watched(cluster)


# ---- what the machine says ------------------------------------------------------------------------------------------


def size_of(node: NodeProcess, pattern: str) -> float:
    return sum(path.stat().st_size for path in node.folder.glob(pattern))


def of_disk(node: NodeProcess, field: str) -> float:
    found = os.statvfs(node.folder)
    return float(getattr(found, field) * found.f_frsize)


def process_began_s(node: NodeProcess) -> float:
    ticks = int(Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[19])
    booted_s = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    return booted_s + ticks / os.sysconf("SC_CLK_TCK")
