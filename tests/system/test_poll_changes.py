"""Polls change while nodes die: each change is there once, on every node, and what it adds is counted from zero."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import Invalid
from quorate.vote import Vote
from tests.support.cluster import Cluster
from tests.support.waiting import let_pass

OPTIONS = ["happy", "sad"]
ROUNDS = 3
ADD = "update polls set options = json_insert(options, '$[#]', ?) where id = 'mood'"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, settings={"raft.snapshot_bytes": 65_536}) as cluster, cluster.client() as client:
        cluster.wait_for("polls can change", lambda: all(level_of(node) for node in cluster.nodes) or None)
        client.create_poll("mood", OPTIONS)
        client.create_poll("other", [f"added-{i}" for i in range(ROUNDS)])
        yield cluster


def level_of(node: Any) -> int:
    return int((node.get("/status") or {"raft": {}})["raft"].get("feature_level", 0))


def digests(cluster: Cluster) -> str | None:
    """The digest that all nodes have at one version."""
    found = [node.get("/digest") for node in cluster.nodes]
    told = {(digest["version"], digest["digest"]) for digest in found if digest}
    return told.pop()[1] if len(told) == 1 and all(found) else None


@pytest.mark.timeout(180)
def test_options_are_added_once_while_leaders_die(cluster: Cluster) -> None:
    """Each option has votes in another poll before it is added. A dead node comes back with a log or a snapshot."""
    with cluster.client() as client:
        for number in range(ROUNDS):
            option = f"added-{number}"
            client.vote(Vote(option, id=f"before-{number}", weight=7))
            leader = cluster.leader()
            leader.kill()
            client.change_poll("mood", add_options=[option], title=f"After {number + 1}")
            assert not client.change_poll("mood", add_options=[option])["changed"]
            client.vote(Vote(option, id=f"after-{number}"))
            client.cast([Vote("happy", id=f"{number}-{i}") for i in range(1_000)])
            leader.start()
            cluster.wait_ready([leader])
        expected = {"happy": 1_000 * ROUNDS, "sad": 0} | {f"added-{i}": 1 for i in range(ROUNDS)}
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert list(expected.items()) == list(shown["results"].items())
        assert f"After {ROUNDS}" == client.poll("mood")["title"]
    cluster.wait_for("all states are equal", lambda: digests(cluster))
    cluster.wait_for("SQLite follows", lambda: cluster.in_sqlite("mood") == expected or None)
    cluster.stop()
    cluster.start()
    cluster.wait_ready()
    assert shown["results"] == cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))["results"]


def test_an_option_added_in_the_database_is_counted_whoever_leads(cluster: Cluster) -> None:
    cluster.wait_for("SQLite follows", lambda: cluster.in_sqlite("mood") == {"happy": 0, "sad": 0} or None)
    with cluster.client() as client:
        for number, option in enumerate(["calm", "tired"]):
            with closing(sqlite3.connect(cluster.sqlite, timeout=10)) as database, database:
                database.execute(
                    "update polls set options = json_insert(options, '$[#]', ?) where id = 'mood'", [option]
                )
            cluster.wait_for("it is the poll's", lambda option=option: has(client, option))  # type: ignore[misc]
            client.vote(Vote(option, id=f"v{number}"))
            leader = cluster.leader()
            leader.kill()
            leader.start()
            cluster.wait_ready([leader])
    expected = {"happy": 0, "sad": 0, "calm": 1, "tired": 1}
    cluster.wait_for("SQLite follows", lambda: cluster.in_sqlite("mood") == expected or None)
    assert expected == cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))["results"]


def has(client: Any, option: str) -> bool | None:
    return option in client.poll("mood")["options"] or None


def test_a_closing_time_is_taken_away_and_set_again(cluster: Cluster) -> None:
    def is_(state: str) -> bool | None:
        return all(state == node.get("/polls/mood?level=none")["state"] for node in cluster.nodes) or None

    with cluster.client() as client:
        due = datetime.now(UTC) + timedelta(seconds=5)
        assert client.change_poll("mood", closes_at=due)["changed"]
        assert client.change_poll("mood", closes_at=None)["changed"]
        with pytest.raises(Invalid, match="passed"):
            client.change_poll("mood", closes_at=datetime.now(UTC) - timedelta(seconds=1), add_options=["never"])
        left_s = (due - datetime.now(UTC)).total_seconds()
        let_pass(max(0.0, left_s) + 0.5, because="the poll would close by then")
        assert is_("open")
        assert client.change_poll("mood", closes_at=datetime.now(UTC) + timedelta(seconds=1))["changed"]
        cluster.wait_for("it closes on every node, though nobody votes", lambda: is_("closed"))
        assert OPTIONS == client.poll("mood")["options"]
