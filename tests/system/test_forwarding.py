"""Each node takes votes. The leader applies them, and a vote is forwarded once at most."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cluster import Cluster


def test_a_vote_sent_to_a_follower_counts_and_says_who_served_it(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        leader = cluster.leader()
        for follower in cluster.followers():
            status, body, headers = follower.ask(
                "POST", "/votes", json.dumps({"option": "sad", "id": follower.id}).encode()
            )
            assert (200, 1, 0) == (status, json.loads(body)["applied"], json.loads(body)["duplicates"])
            assert (follower.id, leader.id) == (headers["x-quorate-node"], headers["x-quorate-leader"])
            again = json.loads(
                leader.ask("POST", "/votes", json.dumps({"option": "sad", "id": follower.id}).encode())[1]
            )
            assert (0, 1) == (again["applied"], again["duplicates"])
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert {"happy": 0, "sad": 2} == shown["results"]


@pytest.mark.parametrize("level", ["weak", "linearizable"])
def test_a_follower_reads_what_was_just_acknowledged(tmp_path: Path, level: str) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        leader, follower = cluster.leader(), cluster.followers()[0]
        for i in range(50):
            assert 200 == leader.ask("POST", "/votes", json.dumps({"option": "happy", "id": f"v{i}"}).encode())[0]
            shown = follower.get(f"/polls/mood/results?level={level}")
            assert {"happy": i + 1, "sad": 0} == shown["results"]
