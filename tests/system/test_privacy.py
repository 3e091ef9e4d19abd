"""docs/privacy.md: the ids of votes stand in no file of a cluster, and in no backup. (Options do, and names.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate import Client, errors
from quorate.cli import main
from quorate.vote import Vote
from tests.support.cluster import Cluster

WHO = "nobody-may-read-this"


def test_ids_of_votes_are_in_no_file(tmp_path: Path) -> None:
    """Whether votes come alone, in numbers, under a key, again, in vain, or over a follower."""
    with Cluster(tmp_path / "cluster", settings={"log.level": "debug"}) as cluster:
        for node in cluster.nodes:
            vote(node.url, node.id)
        assert 0 == main(["backup", str(tmp_path / "votes.backup"), "--node", cluster.urls[0]])
        cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {} == {path: "has an id" for path, content in files.items() if WHO.encode() in content}
    assert b"happy" in files[tmp_path / "votes.backup"]
    assert [] != [path for path, content in files.items() if path.suffix == ".seg" and b"happy" in content]


def vote(url: str, name: str) -> None:
    with Client([url]) as client:
        client.create_poll("mood", ["happy", "sad"])
        for _ in range(2):
            client.vote("happy", id=f"{WHO}-{name}")
        client.votes([Vote("sad", id=f"{WHO}-{name}-{number}") for number in range(200)])
        client.votes_once(["happy"], key=f"{WHO}-{name}-key")
        for refused in (Vote("sad", id=f"{WHO}-{name}"), Vote("angry", id=f"{WHO}-{name}-angry")):
            with pytest.raises((errors.Conflict, errors.UnknownOption)):
                client.vote(refused)
