"""A cluster is lost, and a backup of it becomes a new one: nothing counts twice, and nothing that was deleted comes
back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from quorate.cli import main
from quorate.client.http import JsonClient, Producer
from quorate.errors import Deleted
from quorate.processes.node import NodeProcess
from quorate.vote import Vote
from tests.support.cluster import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def test_a_new_cluster_goes_on_from_a_backup_of_one_that_is_lost(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.backup"
    session = before_the_fire(cluster, file)
    burn(cluster)
    first, *others = cluster.nodes
    first.write_config()
    assert 0 == main(["restore", str(file), "--config", str(first.config), "--yes"]), capsys.readouterr().err
    assert "quorate sink adopt" in capsys.readouterr().out
    assert 1 == main(["restore", str(file), "--config", str(first.config), "--yes"])
    assert "in use by node n1" in capsys.readouterr().err
    first.start()
    first.wait_ready()
    assert_it_goes_on(first, session)
    cluster.wait_for("the flush stops as foreign", lambda: phase(first) == "foreign" or None)
    assert {"happy": 3, "sad": 0} == cluster.in_sqlite("mood")  # as the old one left it
    assert 0 == main(["sink", "adopt", "--yes", "--node", first.url])
    for node in others:  # their settings still say that they form a cluster, and their folders are empty
        node.start()
        with JsonClient([first.url], timeout_s=30) as client:
            client.change_members("add", node.id, node.settings["raft.listen"])
        cluster.wait_for(f"{node.id} is a voter", partial(is_voter, first, node))
    cluster.wait_whole()  # the last of them is a voter in their own logs, too: without that, two of two are needed
    first.kill()
    with cluster.client() as client:
        assert 1 == client.vote(Vote("sad", id="after")).applied
    first.start()
    shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
    assert {"happy": 4, "sad": 1} == shown["results"]
    cluster.wait_for("SQLite follows", lambda: cluster.in_sqlite("mood") == shown["results"] or None)


def before_the_fire(cluster: Cluster, file: Path) -> Producer:
    """Three votes are counted and acknowledged, and two of them are in the backup."""
    with cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        client.create_poll("gone", ["a", "b"], state="draft")
        cluster.wait_for("polls can be deleted", lambda: delete(client, "gone"))
        client.vote(Vote("happy", id="u1", poll="mood"))
        session = client.open_producer("p1")
        client.cast_session(session, [Vote("happy", poll="mood")])
        assert 0 == main(["backup", str(file), "--node", cluster.leader().url])
        client.vote(Vote("happy", id="later", poll="mood"))
    cluster.wait_for("SQLite has it", lambda: cluster.in_sqlite("mood") == {"happy": 3, "sad": 0} or None)
    return session


def delete(client: JsonClient, poll: str) -> bool | None:
    try:
        client.delete_poll(poll, client.poll(poll)["creation"])
    except Deleted:
        return True
    return None


def burn(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.kill()
        shutil.rmtree(node.folder)
        os.mkdir(node.folder)


def assert_it_goes_on(node: NodeProcess, session: Producer) -> None:
    with JsonClient([node.url], timeout_s=30) as client:
        assert {"happy": 2, "sad": 0} == client.results("mood")["results"]
        assert (0, 1) == counted(client, "u1")  # it was in the backup: sent again, it is a duplicate
        assert (1, 0) == counted(client, "later")  # it was not
        session.sequence -= 1
        assert 1 == client.cast_session(session, [Vote("happy", poll="mood")]).duplicates
        assert 1 == client.cast_session(session, [Vote("happy", poll="mood")]).applied
        with pytest.raises(Deleted):
            client.poll("gone")


def counted(client: JsonClient, id: str) -> tuple[int, int]:
    told = client.vote(Vote("happy", id=id, poll="mood"))
    return told.applied, told.duplicates


def phase(node: NodeProcess) -> str | None:
    status = node.get("/status")
    return status["sinks"]["sqlite"]["phase"] if status else None


def is_voter(leader: NodeProcess, node: NodeProcess) -> bool | None:
    members = leader.get("/members")["members"]
    return any(member["id"] == node.id and member["voter"] for member in members) or None
