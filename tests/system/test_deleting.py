"""Polls are deleted and created anew while nodes die: on every node, in the database, and after a start from disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quorate.errors import Conflict, Deleted
from quorate.vote import Vote
from tests.support.cluster import Cluster
from tests.system.test_poll_changes import digests, level_of

OPTIONS = ["happy", "sad"]


def state_in_sqlite(cluster: Cluster) -> tuple[str, int] | None:
    if not cluster.sqlite.exists():
        return None
    with closing(sqlite3.connect(f"file:{cluster.sqlite}?mode=ro", uri=True, timeout=5)) as database:
        row: tuple[str, int] | None = database.execute("select state, total from polls where id = 'mood'").fetchone()
        return row


@pytest.mark.timeout(180)
def test_a_deleted_poll_stays_deleted_and_a_new_one_begins_at_zero(tmp_path: Path) -> None:
    with Cluster(tmp_path, settings={"raft.snapshot_bytes": 65_536}) as cluster, cluster.client() as client:
        cluster.wait_for("polls can be deleted", lambda: all(level_of(node) for node in cluster.nodes) or None)
        client.create_poll("mood", OPTIONS)
        client.create_poll("other", ["calm", "tired"])
        client.cast([Vote("happy", f"v{number}", "mood") for number in range(100)])
        for state in ("closed", "archived"):
            client.set_poll_state("mood", state)
        old = client.poll("mood")["creation"]
        cluster.wait_for("the sink has its tally", lambda: state_in_sqlite(cluster) == ("archived", 100) or None)
        leader = cluster.leader()
        leader.kill()
        assert "deleted" == client.delete_poll("mood", old)["state"]
        with pytest.raises(Deleted):
            client.delete_poll("mood", old)
        cluster.wait_for("the sink has marked it", lambda: state_in_sqlite(cluster) == ("deleted", 100) or None)
        client.cast([Vote("calm", f"c{number}") for number in range(3_000)])  # a snapshot or two
        leader.start()
        cluster.wait_ready([leader])
        told = [node.ask("GET", "/polls/mood?level=linearizable")[0] for node in cluster.nodes]
        assert [410, 410, 410] == told

        client.create_poll("mood", ["happy", "angry"])
        new = client.poll("mood")["creation"]
        assert new > old
        with pytest.raises(Conflict):
            client.vote(Vote("happy", "v1", "mood"))
        assert 1 == client.vote(Vote("angry", "n1", "mood")).applied
        with pytest.raises(Deleted):
            client.delete_poll("mood", old)
        cluster.wait_for("the sink has the new one", lambda: state_in_sqlite(cluster) == ("open", 1) or None)

        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready()
        assert {"happy": 0, "angry": 1} == client.results("mood", level="linearizable")["results"]
        with pytest.raises(Conflict):
            client.vote(Vote("happy", "v2", "mood"))
        cluster.wait_for("all nodes agree", lambda: digests(cluster))
