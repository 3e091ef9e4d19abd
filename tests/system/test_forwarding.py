"""Each node takes votes. The leader applies them, and a vote is forwarded once at most."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quorate.vote import ENTRY_BYTES_MAX
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


def test_a_list_of_polls_longer_than_a_message_is_the_same_on_every_node(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            for id in ("big1", "big2", "big3"):
                client.create_poll(id, [f"{id} {i:06d} {'x' * 200}" for i in range(18_000)])
        for level in ("weak", "linearizable"):
            answers = [node.ask("GET", f"/polls?level={level}", timeout_s=20) for node in cluster.nodes]
            assert [200] * 3 == [status for status, _, _ in answers]
            assert len(answers[0][1]) > ENTRY_BYTES_MAX
            assert answers[0][1] == answers[1][1] == answers[2][1]
        ids: list[str] = []
        cursor: str | None = ""
        for node in cluster.nodes:
            page = node.get(f"/polls?limit=1&cursor={cursor}")
            ids.append(page["polls"][0]["id"])
            cursor = page["next"]
        assert (["big1", "big2", "big3"], None) == (ids, cursor)
