"""`quorate audit` on a real cluster: it catches one altered number in a database, and one node with a foreign snapshot.

All checks share one cluster.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.snapshot_store import SnapshotStore
from quorate.processes.node import NodeProcess
from quorate.vote import Vote
from tests.support.cluster import Cluster

# A new leader writes all documents once, also one that a test has altered: none is to be elected but by a test.
SETTINGS = {"raft.snapshot_bytes": 65_536, "raft.election_timeout_ms": 5_000}
BIG = [f"{number:06}" + "x" * 244 for number in range(10_000)]  # four such polls make a snapshot due


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder, module = tmp_path_factory.mktemp("audit"), "tests.system.rare_checks"
    with Cluster(folder, settings=SETTINGS, module=module) as cluster, cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        client.create_poll("idle", ["tea", "coffee"])
        client.cast([Vote("tea", f"t{number}", poll="idle") for number in range(7)])
        cluster.cast("first", 20)
        tallies = {"idle": {"tea": 7, "coffee": 0}, "mood": {"happy": 20, "sad": 0}}
        # Not before the last write, which would also mend what a test alters.
        cluster.wait_for("the sink has all", lambda: tallies == {poll: cluster.in_sqlite(poll) for poll in tallies})
        yield cluster


def audit(cluster: Cluster, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = command(cluster, "audit", "--json", *arguments)
    return done.returncode, json.loads(done.stdout)


def command(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"QUORATE_NODES": ",".join(cluster.urls)}
    return subprocess.run(
        [sys.executable, "-m", "quorate", *arguments], capture_output=True, text=True, env=env, timeout=120, check=False
    )


def alter(cluster: Cluster, statement: str) -> None:
    with closing(sqlite3.connect(cluster.sqlite, timeout=10)) as db, db:
        assert 1 == db.execute(statement).rowcount


def test_all_agree(shared: Cluster) -> None:
    code, told = audit(shared)
    assert (0, "agree") == (code, told["verdict"]), told
    assert ["n1", "n2", "n3"] == [node["id"] for node in told["nodes"] if node["digest"]]
    assert 1 == len({(node["digest"], node["chain"], node["log"]) for node in told["nodes"]})
    assert {"documents": 2, "differences": [], "undecided": []} == told["sinks"]["sqlite"]


def test_one_altered_number_is_named_and_repaired(shared: Cluster) -> None:
    alter(shared, "update polls set results = '{\"tea\": 8, \"coffee\": 0}', total = 8 where id = 'idle'")
    code, told = audit(shared)
    assert (1, "differ") == (code, told["verdict"]), told
    [difference] = told["sinks"]["sqlite"]["differences"]
    assert ("idle", "tea", 7, 8) == tuple(difference[name] for name in ("poll", "option", "cluster", "sink"))
    # Also where the witness was removed: without its digest nothing but the tally tells.
    alter(shared, "update polls set total = 9 where id = 'idle'")
    alter(shared, "delete from digests where id = 'idle'")
    shown = command(shared, "audit", "--repair")
    assert 0 == shown.returncode, shown.stdout + shown.stderr
    assert "sqlite differs: poll 'idle'" in shown.stdout
    assert "The sinks were repaired, and all agree now." in shown.stdout
    assert {"tea": 7, "coffee": 0} == shared.in_sqlite("idle")
    assert 0 == audit(shared)[0]


def test_a_document_that_was_deleted_is_told_and_comes_back(shared: Cluster) -> None:
    alter(shared, "delete from polls where id = 'idle'")
    code, told = audit(shared)
    assert (1, ["missing"]) == (code, [each["kind"] for each in told["sinks"]["sqlite"]["differences"]])
    code, told = audit(shared, "--repair")
    assert (0, "repaired") == (code, told["verdict"]), told
    assert {"tea": 7, "coffee": 0} == shared.in_sqlite("idle")


def test_a_node_with_a_foreign_snapshot_is_named(shared: Cluster) -> None:
    odd = shared.followers()[0]
    snapshot_exists = lambda: any(odd.folder.rglob("snapshot-*.snap")) or None  # noqa: E731
    with shared.client() as client:
        for number in range(4):
            client.create_poll(f"big{number}", BIG, state="draft")
            client.delete_poll(f"big{number}", client.poll(f"big{number}")["creation"])
    shared.wait_for("it has a snapshot", snapshot_exists)
    assert 0 == odd.stop(), odd.tail()
    code, told = audit(shared)
    assert (5, "untold") == (code, told["verdict"]), told
    assert [odd.id] == [node["id"] for node in told["nodes"] if node["why"]]
    give_foreign_snapshot(odd)
    odd.start()
    shared.wait_ready([odd])
    code, told = audit(shared)
    assert (1, "differ") == (code, told["verdict"]), told
    assert [odd.id] == [node["id"] for node in told["nodes"] if node["differs"]]
    shown = command(shared, "audit", "--repair")
    assert 1 == shown.returncode, "nodes are never repaired"
    assert f"node {odd.id} differs: it applied the same entries, and has another state" in shown.stdout


def give_foreign_snapshot(node: NodeProcess) -> None:
    """One vote more than there were, and all checksums right."""
    [folder] = {path.parent for path in node.folder.rglob("snapshot-*.snap")}
    files = OsFiles(folder)
    store = SnapshotStore(files)
    meta = store.newest()
    assert meta is not None
    machine = StateMachine.restore(store.load(meta))
    machine._tally.totals[0] += 1
    store.save(meta.index, meta.term, meta.chain, meta.members, machine.freeze().encode())
    files.close()
