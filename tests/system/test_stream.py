"""`quorate stream` at three nodes: exact to the vote, also when it is killed in the middle."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.processes.process import Process
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

POSTS = 30_000
MOODS = ("happy", "sad", "angry")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def write_posts(path: Path) -> dict[str, int]:
    """Posts of which each third mentions one mood, each tenth another one too; how many votes that is."""
    expected = dict.fromkeys(MOODS, 0)
    with path.open("w") as opened:
        for number in range(POSTS):
            moods = {MOODS[number % 9]} if number % 9 < 3 else set()
            moods |= {"angry"} if not number % 10 else set()
            for mood in moods:
                expected[mood] += 1
            text = f"so {' and '.join(sorted(moods))} #today" if moods else "nothing to say"
            opened.write(json.dumps({"id": f"p{number}", "text": text, "author": f"a{number % 100}"}) + "\n")
    return expected


def stream(cluster: Cluster, posts: Path, state: Path) -> Process:
    nodes = [f"--node={url}" for url in cluster.urls]
    command = [sys.executable, "-m", "quorate", "stream", "replay", str(posts), "--state", str(state), *nodes]
    return Process("stream", command, state / "output.txt")


def total(cluster: Cluster) -> int:
    with cluster.client() as client:
        return int(client.results("mood", level="linearizable")["total"])


def test_a_stream_that_is_killed_in_the_middle_counts_each_post_once(cluster: Cluster, tmp_path: Path) -> None:
    expected = write_posts(tmp_path / "posts.ndjson")
    with cluster.client() as client:
        client.create_poll("mood", MOODS)
    first = stream(cluster, tmp_path / "posts.ndjson", tmp_path / "state")
    first.start()
    try:
        wait_for("some votes have arrived", lambda: total(cluster) > 0, deadline_s=30, seen=first.tail)
        for node in cluster.nodes:
            node.pause()
        assert first.running, first.tail()
        first.kill()
    finally:
        first.close()
        for node in cluster.nodes:
            node.resume()
    assert total(cluster) < sum(expected.values())
    again = stream(cluster, tmp_path / "posts.ndjson", tmp_path / "state")
    again.start()
    assert 0 == again.ended(60), again.tail()
    with cluster.client() as client:
        assert expected == client.results("mood", level="linearizable")["results"]
    once_more = stream(cluster, tmp_path / "posts.ndjson", tmp_path / "state")
    once_more.start()
    assert 0 == once_more.ended(60), once_more.tail()
    assert "0 posts read, 0 votes confirmed" in once_more.output()
